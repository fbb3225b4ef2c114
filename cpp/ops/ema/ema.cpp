#include "ops/ema/ema.h"

#include "core/parameter_ranges.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

constexpr size_t kFirst = 1, kStride = 2;  // alpha, then (teacher, student) per parameter

void infer(InferContext& c) {
  c.expect_dtype(0, "alpha", DType::f32);
  c.expect_shape(0, "alpha", Shape{});
  c.expect(c.input_count() > kFirst && (c.input_count() - kFirst) % kStride == 0, "inputs",
           "alpha and (teacher, student) for each parameter", std::to_string(c.input_count()) + " inputs");
  for (size_t i = kFirst; i < c.input_count(); ++i) {
    const bool is_teacher = (i - kFirst) % kStride == 0;
    c.expect_dtype(i, is_teacher ? "teacher" : "student", DType::f32);
    if (!is_teacher) c.expect_shape(i, "student", c.input(i - 1, "teacher").shape);
  }
}

bool writes(const NodeTypes&, size_t input) {
  return input >= kFirst && (input - kFirst) % kStride == 0;
}

void ema_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(ema_row);
  const double alpha = *c.in<float>(0);
  over_parameters(
      *c.pool, (c.inputs.size() - kFirst) / kStride,
      [&](size_t i) { return c.inputs[kFirst + i * kStride].count(); },
      [&](size_t i, int64_t begin, int64_t end) {
        const size_t at = kFirst + i * kStride;
        row(c.in<float>(at) + begin, c.in<float>(at + 1) + begin, end - begin, static_cast<float>(alpha),
            static_cast<float>(1 - alpha));
      });
}

void ema_cuda(const KernelContext& c) {
  EmaArgs args{};
  args.alpha = c.in<float>(0), args.fault = c.fault;
  in_groups<EmaArgs::kTensors>((c.inputs.size() - kFirst) / kStride, [&](size_t first, size_t count) {
    int64_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t at = kFirst + (first + i) * kStride;
      args.parameters[i] = {c.in<float>(at), c.in<float>(at + 1), c.inputs[at].count()};
      largest = std::max(largest, args.parameters[i].count);
    }
    launch(c, "ema", {element_grid(largest).x, static_cast<uint32_t>(count)}, args);
  });
}

}  // namespace

void register_ema(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("ema");
  op.infer = &infer;
  op.cpu = {{"flat", &ema_cpu}};
  op.cuda = {{"tensors", &ema_cuda}};
  op.writes = &writes;
  registry.add(std::move(op));
}

}  // namespace sfr
