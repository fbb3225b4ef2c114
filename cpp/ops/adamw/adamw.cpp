#include "ops/adamw/adamw.h"

#include <cmath>

#include "core/parameter_ranges.h"
#include "graph/graph.h"

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

AdamwFactors factors_of(const AdamwAttributes& a, double lr, double step) {
  if (!(step >= 1))
    throw Error(ErrorCode::usage, "adamw: expected a number >= 1 for step, received " + std::to_string(step) +
                                      "; count steps from 1");
  AdamwFactors f{};
  f.keep = static_cast<float>(1 - lr * a.weight_decay);
  f.beta1 = static_cast<float>(a.beta1);
  f.one_minus_beta1 = static_cast<float>(1 - a.beta1);
  f.beta2 = static_cast<float>(a.beta2);
  f.one_minus_beta2 = static_cast<float>(1 - a.beta2);
  f.inverse_deviation = static_cast<float>(1 / std::sqrt(1 - std::pow(a.beta2, step)));
  f.epsilon = static_cast<float>(a.epsilon);
  f.step_size = static_cast<float>(lr / (1 - std::pow(a.beta1, step)));
  return f;
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

}  // namespace

void register_adamw(OpRegistry& registry) {
  OpDef op = op_definition<AdamwAttributes>("adamw");
  op.infer = &infer;
  op.cpu = {{"flat", &adamw_cpu}};
  op.writes = &writes;
  registry.add(std::move(op));
}

}  // namespace sfr
