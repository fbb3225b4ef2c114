#include "ops/log/log.h"

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output(c.input(0, "x"));
}

void exp_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(exp_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

void log_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(log_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<float>(0) + i, n); });
}

template <bool kLog>
void function_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, kLog ? "log_elements" : "exp_elements", element_grid(count),
         LogArgs{c.in<float>(0), c.out<float>(0), count});
}

void gradient_exp(GradientContext& c) {
  c.set(0, c.add("multiply", {c.output_gradient(0), c.output(0)})[0]);
}

void gradient_log(GradientContext& c) {
  c.set(0, c.add("divide", {c.output_gradient(0), c.input(0)})[0]);
}

}  // namespace

void register_log(OpRegistry& registry) {
  for (const bool is_log : {false, true}) {
    OpDef op = op_definition<NoAttributes>(is_log ? "log" : "exp");
    op.infer = &infer;
    op.gradient = is_log ? &gradient_log : &gradient_exp;
    op.cpu = {{"rows", is_log ? &log_cpu : &exp_cpu}};
    op.cuda = {{"elements", is_log ? &function_cuda<true> : &function_cuda<false>}};
    op.in_place_inputs = {0};
    registry.add(std::move(op));
  }
}

}  // namespace sfr
