// fill: a tensor of one value. Attributes: shape, value.  -> y [shape] f32
#include "graph/graph.h"

namespace sfr {

namespace {

struct FillAttributes {
  std::vector<int64_t> shape;
  double value = 0;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("value", value);
  }
};

void infer(InferContext& c) {
  c.expect_inputs(0, 0);
  c.output({DType::f32, Shape(c.attributes<FillAttributes>().shape)});
}

void fill_cpu(const KernelContext& c) {
  float* y = c.out<float>(0);
  const float value = static_cast<float>(c.as<FillAttributes>().value);
  over_elements(c, [&](int64_t i, int64_t n) { std::fill(y + i, y + i + n, value); });
}

}  // namespace

void register_fill(OpRegistry& registry) {
  OpDef op = op_definition<FillAttributes>("fill");
  op.infer = &infer;
  op.cpu = {{"fill", &fill_cpu}};
  registry.add(std::move(op));
}

}  // namespace sfr
