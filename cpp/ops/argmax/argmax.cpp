#include "ops/argmax/argmax.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const Shape& x = c.input(0, "x").shape;
  c.expect(x.rank() >= 1 && x.back() >= 1 && x.back() <= 255, "x", "a last axis of 1 to 255 classes",
           x.text());
  std::vector<int64_t> positions = x.extents();
  positions.pop_back();
  c.output({DType::u8, Shape(positions)});
}

void argmax_cpu(const KernelContext& c) {
  const auto run = SFR_DISPATCH(argmax_rows);
  const int64_t classes = c.inputs[0].type.shape.back(), rows = c.outputs[0].count();
  const int64_t chunks = chunk_count(rows, kElementGrain / classes + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    run(c.in<float>(0) + r.begin * classes, r.end - r.begin, classes, c.out<uint8_t>(0) + r.begin);
  });
}

void argmax_cuda(const KernelContext& c) {
  const int64_t rows = c.outputs[0].count();
  launch(c, "argmax", element_grid(rows),
         ArgmaxArgs{elements_of(c, 0), c.out<uint8_t>(0), rows, c.inputs[0].type.shape.back()});
}

}  // namespace

void register_argmax(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("argmax");
  op.infer = &infer;
  op.cpu = {{"rows", &argmax_cpu}};
  op.cuda = {{"thread_per_row", &argmax_cuda}};
  op.bf16_inputs = kFirst;
  registry.add(std::move(op));
}

}  // namespace sfr
