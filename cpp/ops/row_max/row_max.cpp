#include "ops/row_max/row_max.h"

#include <algorithm>

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  const Shape& x = c.input(0, "x").shape;
  c.expect(x.rank() >= 1 && x.count() >= 1, "x", "at least one element on the last axis", x.text());
  std::vector<int64_t> rows = x.extents();
  rows.pop_back();
  c.output({DType::f32, Shape(rows)});
}

int64_t chunks_of(const Shape& shape) {
  return chunk_count(shape.back(), kElementGrain);
}

size_t work_bytes(const NodeTypes& types, int) {
  const Shape& x = types.input(0).shape;
  return static_cast<size_t>(x.count() / x.back() * chunks_of(x)) * sizeof(float);
}

void row_max_cpu(const KernelContext& c) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t length = shape.back(), rows = c.outputs[0].count(), chunks = chunks_of(shape);
  auto* partial = static_cast<float*>(c.work);
  c.pool->parallel_for(rows * chunks, [&](int64_t i, int) {
    const Range r = chunk_range(length, i % chunks, chunks);
    const float* row = c.in<float>(0) + i / chunks * length;
    partial[i] = *std::max_element(row + r.begin, row + r.end);
  });
  for (int64_t row = 0; row < rows; ++row)
    c.out<float>(0)[row] = *std::max_element(partial + row * chunks, partial + (row + 1) * chunks);
}

void row_max_cuda(const KernelContext& c) {
  const int64_t rows = c.outputs[0].count();
  launch(c, "row_max", {static_cast<uint32_t>(std::min<int64_t>(rows, 16384))},
         RowMaxArgs{c.in<float>(0), c.out<float>(0), rows, c.inputs[0].type.shape.back()});
}

}  // namespace

void register_row_max(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("row_max");
  op.infer = &infer;
  op.cpu = {{"chunks", &row_max_cpu}};
  op.cuda = {{"blocks", &row_max_cuda}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
