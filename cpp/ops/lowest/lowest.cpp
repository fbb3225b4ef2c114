#include "ops/lowest/lowest.h"

#include <algorithm>

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const int64_t count = c.attributes<LowestAttributes>().count;
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_dtype(1, "mask", DType::f32);
  c.expect_shape(1, "mask", c.input(0, "x").shape);
  c.expect(count >= 1, "count", "at least 1", std::to_string(count), ErrorCode::usage);
  c.output(c.input(0, "x"));
}

size_t work_bytes(const NodeTypes& types, int) {
  return static_cast<size_t>(types.input(0).shape.count()) * sizeof(float);
}

/// The count-th value by selection, then one pass over all.
void lowest_cpu(const KernelContext& c) {
  const int64_t wanted = c.as<LowestAttributes>().count, elements = c.inputs[0].count();
  const float *x = c.in<float>(0), *mask = c.in<float>(1);
  float* y = c.out<float>(0);
  auto* found = static_cast<float*>(c.work);
  int64_t among = 0;
  for (int64_t i = 0; i < elements; ++i)
    if (mask[i] != 0) found[among++] = x[i];
  const bool all = among <= wanted;
  float last = 0;
  int64_t ties = 0;  // of the elements equal to the last, how many are in
  if (!all) {
    std::nth_element(found, found + wanted - 1, found + among);
    last = found[wanted - 1];
    ties = wanted - std::count_if(found, found + wanted, [=](float v) { return v < last; });
  }
  for (int64_t i = 0; i < elements; ++i)
    y[i] = mask[i] != 0 && (all || x[i] < last || (x[i] == last && ties-- > 0)) ? 1.0f : 0.0f;
}

void lowest_cuda(const KernelContext& c) {
  launch(c, "lowest", {},
         LowestArgs{c.in<float>(0), c.in<float>(1), c.out<float>(0), c.inputs[0].count(),
                    c.as<LowestAttributes>().count});
}

}  // namespace

void register_lowest(OpRegistry& registry) {
  OpDef op = op_definition<LowestAttributes>("lowest");
  op.infer = &infer;
  op.cpu = {{"selection", &lowest_cpu}};
  op.work_bytes = &work_bytes;
  op.cuda = {{"one_block", &lowest_cuda}};
  registry.add(std::move(op));
}

}  // namespace sfr
