#include "ops/at_least/at_least.h"

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_dtype(1, "threshold", DType::f32);
  c.expect_shape(1, "threshold", Shape{});
  c.output(c.input(0, "x"));
}

void at_least_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(at_least_row);
  const float threshold = c.in<float>(1)[0];
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, threshold, c.out<float>(0) + i, n); });
}

void at_least_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "at_least", element_grid(count),
         AtLeastArgs{c.in<float>(0), c.in<float>(1), c.out<float>(0), count});
}

}  // namespace

void register_at_least(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("at_least");
  op.infer = &infer;
  op.cpu = {{"rows", &at_least_cpu}};
  op.cuda = {{"elements", &at_least_cuda}};
  op.in_place_inputs = {0};
  registry.add(std::move(op));
}

}  // namespace sfr
