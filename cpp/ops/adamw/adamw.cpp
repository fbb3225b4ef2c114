#include "ops/adamw/adamw.h"

#include "core/parameter_ranges.h"
#include "device/launch.h"
#include "graph/graph.h"
#include "ops/adamw/adamw_factors.h"

namespace sfr {

namespace {

constexpr size_t kFirst = 2, kStride = 4;  // lr, step, then (p, gradient, m, v) per parameter

void infer(InferContext& c) {
  for (size_t i = 0; i < kFirst; ++i) {
    c.expect_dtype(i, i == 0 ? "lr" : "step", DType::f32);
    c.expect_shape(i, i == 0 ? "lr" : "step", Shape{});
  }
  c.expect(c.input_count() > kFirst && (c.input_count() - kFirst) % kStride == 0, "inputs",
           "lr, step and (parameter, gradient, m, v) for each parameter",
           std::to_string(c.input_count()) + " inputs");
  const char* const names[] = {"parameter", "gradient", "m", "v"};
  for (size_t i = kFirst; i < c.input_count(); ++i) {
    const size_t role = (i - kFirst) % kStride;
    c.expect_dtype(i, names[role], DType::f32);
    c.expect_shape(i, names[role], c.input(i - role, names[0]).shape);
  }
}

bool writes(const NodeTypes&, size_t input) {
  return input >= kFirst && (input - kFirst) % kStride != 1;
}

std::string bad_step(const std::string& received) {
  return "adamw: expected a number >= 1 for step, received " + received + "; count steps from 1";
}

AdamwFactors factors_of(const AdamwAttributes& a, double lr, double step) {
  if (!(step >= 1)) throw Error(ErrorCode::usage, bad_step(std::to_string(step)));
  return adamw_factors(a, lr, step);
}

void adamw_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(adamw_row);
  const AdamwFactors factors = factors_of(c.as<AdamwAttributes>(), *c.in<float>(0), *c.in<float>(1));
  over_parameters(
      *c.pool, (c.inputs.size() - kFirst) / kStride,
      [&](size_t i) { return c.inputs[kFirst + i * kStride].count(); },
      [&](size_t i, int64_t begin, int64_t end) {
        const size_t at = kFirst + i * kStride;
        row(c.in<float>(at) + begin, c.in<float>(at + 1) + begin, c.in<float>(at + 2) + begin,
            c.in<float>(at + 3) + begin, end - begin, factors);
      });
}

void adamw_cuda(const KernelContext& c) {
  AdamwArgs args{};
  args.lr = c.in<float>(0), args.step = c.in<float>(1), args.attributes = c.as<AdamwAttributes>();
  args.factors = static_cast<AdamwFactors*>(c.work), args.fault = c.fault, args.node = c.node;
  launch(c, "adamw_step", {}, args);
  in_groups<AdamwArgs::kTensors>((c.inputs.size() - kFirst) / kStride, [&](size_t first, size_t count) {
    int64_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t at = kFirst + (first + i) * kStride;
      args.parameters[i] = {c.in<float>(at), c.in<float>(at + 1), c.in<float>(at + 2), c.in<float>(at + 3),
                            c.inputs[at].count()};
      largest = std::max(largest, args.parameters[i].count);
    }
    launch(c, "adamw", {element_grid(largest).x, static_cast<uint32_t>(count)}, args);
  });
}

}  // namespace

void register_adamw(OpRegistry& registry) {
  OpDef op = op_definition<AdamwAttributes>("adamw");
  op.infer = &infer;
  op.cpu = {{"flat", &adamw_cpu}};
  op.cuda = {{"tensors", &adamw_cuda}};
  op.cuda_work_bytes = [](const NodeTypes&) { return sizeof(AdamwFactors); };
  op.fault_text = [](const NodeTypes&, int64_t) { return bad_step("a smaller one"); };
  op.writes = &writes;
  registry.add(std::move(op));
}

}  // namespace sfr
