#include "ops/fill/fill.h"

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(0, 0);
  c.output({DType::f32, Shape(c.attributes<FillAttributes>().shape)});
}

void fill_cpu(const KernelContext& c) {
  float* y = c.out<float>(0);
  const float value = static_cast<float>(c.as<FillAttributes>().value);
  over_elements(c, [&](int64_t i, int64_t n) { std::fill(y + i, y + i + n, value); });
}

void fill_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "fill_elements", element_grid(count),
         FillArgs{c.out<float>(0), count, static_cast<float>(c.as<FillAttributes>().value)});
}

}  // namespace

void register_fill(OpRegistry& registry) {
  OpDef op = op_definition<FillAttributes>("fill");
  op.infer = &infer;
  op.cpu = {{"fill", &fill_cpu}};
  op.cuda = {{"elements", &fill_cuda}};
  registry.add(std::move(op));
}

}  // namespace sfr
