#include "ops/downsample/downsample.h"

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c, DType dtype) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", dtype);
  c.expect_rank(0, "x", 3);
  const Shape& x = c.input(0, "x").shape;
  c.expect(x[0] >= 2 && x[1] >= 2 && x[2] >= 2, "x", "at least 2 voxels along each axis", x.text());
  c.output({dtype, {x[0] / 2, x[1] / 2, x[2] / 2}});
}

void infer_mean(InferContext& c) {
  infer(c, DType::f32);
}
void infer_majority(InferContext& c) {
  infer(c, DType::u8);
}

/// Calls row(the four source rows, output row, its length) for every output row.
template <class T, class F>
void each_row(const KernelContext& c, F row) {
  const Shape &in = c.inputs[0].type.shape, &out = c.outputs[0].type.shape;
  const int64_t rows = out[0] * out[1], chunks = chunk_count(rows, kElementGrain / (8 * out[2]) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const T* x = c.in<T>(0) + (2 * (i / out[1]) * in[1] + 2 * (i % out[1])) * in[2];
      const T* below = x + in[1] * in[2];
      const T* const four[4] = {x, x + in[2], below, below + in[2]};
      row(four, c.out<T>(0) + i * out[2], out[2]);
    }
  });
}

void mean_cpu(const KernelContext& c) {
  each_row<float>(c, SFR_DISPATCH(downsample_mean_row));
}

uint8_t majority(const uint8_t labels[8]) {
  int best = 0, best_count = 0;
  for (int i = 0; i < 8; ++i) {
    int count = 0;
    for (int j = 0; j < 8; ++j) count += labels[j] == labels[i] ? 1 : 0;
    if (count > best_count || (count == best_count && labels[i] < best)) {
      best = labels[i];
      best_count = count;
    }
  }
  return static_cast<uint8_t>(best);
}

void majority_row(const uint8_t* const rows[4], uint8_t* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint8_t labels[8];
    bool same = true;
    for (int j = 0; j < 8; ++j) {
      labels[j] = rows[j / 2][2 * i + j % 2];
      same = same && labels[j] == labels[0];
    }
    y[i] = same ? labels[0] : majority(labels);  // most blocks lie inside one label
  }
}

void majority_cpu(const KernelContext& c) {
  each_row<uint8_t>(c, majority_row);
}

}  // namespace

void register_downsample(OpRegistry& registry) {
  OpDef mean = op_definition<NoAttributes>("downsample_mean");
  mean.infer = &infer_mean;
  mean.cpu = {{"rows", &mean_cpu}};
  registry.add(std::move(mean));

  OpDef majority = op_definition<NoAttributes>("downsample_majority");
  majority.infer = &infer_majority;
  majority.cpu = {{"rows", &majority_cpu}};
  registry.add(std::move(majority));
}

}  // namespace sfr
