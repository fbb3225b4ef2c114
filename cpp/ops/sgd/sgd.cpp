#include "ops/sgd/sgd.h"

#include "core/parameter_ranges.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

constexpr size_t kFirst = 1, kStride = 3;  // lr, then (p, gradient, v) per parameter

void infer(InferContext& c) {
  c.expect_dtype(0, "lr", DType::f32);
  c.expect_shape(0, "lr", Shape{});
  c.expect(c.input_count() > kFirst && (c.input_count() - kFirst) % kStride == 0, "inputs",
           "lr and (parameter, gradient, momentum) for each parameter",
           std::to_string(c.input_count()) + " inputs");
  const char* const names[] = {"parameter", "gradient", "momentum"};
  for (size_t i = kFirst; i < c.input_count(); ++i) {
    const size_t role = (i - kFirst) % kStride;
    c.expect_dtype(i, names[role], DType::f32);
    c.expect_shape(i, names[role], c.input(i - role, names[0]).shape);
  }
}

bool writes(const NodeTypes&, size_t input) {
  return input >= kFirst && (input - kFirst) % kStride != 1;
}

void sgd_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(sgd_row);
  const auto& a = c.as<SgdAttributes>();
  const float lr = *c.in<float>(0);
  over_parameters(
      *c.pool, (c.inputs.size() - kFirst) / kStride,
      [&](size_t i) { return c.inputs[kFirst + i * kStride].count(); },
      [&](size_t i, int64_t begin, int64_t end) {
        const size_t at = kFirst + i * kStride;
        row(c.in<float>(at) + begin, c.in<float>(at + 1) + begin, c.in<float>(at + 2) + begin, end - begin,
            lr, static_cast<float>(a.momentum), static_cast<float>(a.weight_decay));
      });
}

void sgd_cuda(const KernelContext& c) {
  const auto& a = c.as<SgdAttributes>();
  SgdArgs args{};
  args.lr = c.in<float>(0), args.fault = c.fault;
  args.momentum = static_cast<float>(a.momentum), args.weight_decay = static_cast<float>(a.weight_decay);
  in_groups<SgdArgs::kTensors>((c.inputs.size() - kFirst) / kStride, [&](size_t first, size_t count) {
    int64_t largest = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t at = kFirst + (first + i) * kStride;
      args.parameters[i] = {c.in<float>(at), c.in<float>(at + 1), c.in<float>(at + 2), c.inputs[at].count()};
      largest = std::max(largest, args.parameters[i].count);
    }
    launch(c, "sgd", {element_grid(largest).x, static_cast<uint32_t>(count)}, args);
  });
}

}  // namespace

void register_sgd(OpRegistry& registry) {
  OpDef op = op_definition<SgdAttributes>("sgd");
  op.infer = &infer;
  op.cpu = {{"flat", &sgd_cpu}};
  op.cuda = {{"tensors", &sgd_cuda}};
  op.writes = &writes;
  registry.add(std::move(op));
}

}  // namespace sfr
