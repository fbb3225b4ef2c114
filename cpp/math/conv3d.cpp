#include "math/conv3d.h"

#include <algorithm>

namespace sfr {

namespace {

constexpr int64_t kReduceChunks = 16;

Conv3dShape exchanged(Conv3dShape shape) {
  std::swap(shape.cin, shape.cout);
  return shape;
}

ConvRowsPlan rows_plan(const Conv3dShape& shape) {
  ConvRowsPlan plan;
  SFR_DISPATCH(conv_rows_plan)(shape, &plan);
  return plan;
}

ConvWeightsPlan weights_plan(const Conv3dShape& shape) {
  ConvWeightsPlan plan;
  SFR_DISPATCH(conv_weights_plan)(shape, &plan);
  return plan;
}

/// Bytes of the partial results; a single one is written in place, but for a bias gradient that nobody wants.
size_t partial_bytes(const Conv3dShape& shape, const ConvWeightsPlan& plan) {
  const int64_t floats = plan.parts == 1 ? (shape.cout + 15) / 16 * 16 : plan.parts * plan.part_stride;
  return static_cast<size_t>(floats) * sizeof(float);
}

void run_rows(ThreadPool& pool, const ConvRowsJob& job, void* work) {
  const ConvRowsPlan plan = rows_plan(job.shape);
  const auto run_chunk = SFR_DISPATCH(conv_rows_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    char* scratch = static_cast<char*>(work) + static_cast<size_t>(thread) * plan.scratch_bytes;
    run_chunk(job, chunk, reinterpret_cast<float*>(scratch));
  });
}

}  // namespace

size_t conv3d_forward_work_bytes(const Conv3dShape& shape, int threads) {
  return rows_plan(shape).scratch_bytes * static_cast<size_t>(threads);
}

size_t conv3d_backward_input_work_bytes(const Conv3dShape& shape, int threads) {
  return conv3d_forward_work_bytes(exchanged(shape), threads);
}

size_t conv3d_backward_weight_work_bytes(const Conv3dShape& shape, int threads) {
  const ConvWeightsPlan plan = weights_plan(shape);
  return plan.scratch_bytes * static_cast<size_t>(threads) + partial_bytes(shape, plan);
}

void conv3d_forward(ThreadPool& pool, const Conv3dShape& shape, const float* x, const float* weights,
                    const float* bias, float* y, void* work) {
  run_rows(pool, ConvRowsJob{shape, x, weights, bias, y, false}, work);
}

void conv3d_backward_input(ThreadPool& pool, const Conv3dShape& shape, const float* dy, const float* weights,
                           float* dx, void* work) {
  run_rows(pool, ConvRowsJob{exchanged(shape), dy, weights, nullptr, dx, true}, work);
}

void conv3d_backward_weight(ThreadPool& pool, const Conv3dShape& shape, const float* x, const float* dy,
                            float* dweights, float* dbias, void* work) {
  const ConvWeightsPlan plan = weights_plan(shape);
  float* partial = static_cast<float*>(work);
  char* scratch = static_cast<char*>(work) + partial_bytes(shape, plan);
  const int64_t weight_count = shape.kd * shape.kh * shape.kw * shape.cin * shape.cout;
  const ConvWeightsJob job =
      plan.parts == 1 ? ConvWeightsJob{shape, x, dy, dweights, dbias ? dbias : partial, 0}
                      : ConvWeightsJob{shape, x, dy, partial, partial + weight_count, plan.part_stride};
  const auto run_chunk = SFR_DISPATCH(conv_weights_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    run_chunk(job, chunk,
              reinterpret_cast<float*>(scratch + static_cast<size_t>(thread) * plan.scratch_bytes));
  });
  if (plan.parts == 1) return;
  const int64_t total = weight_count + (dbias ? shape.cout : 0);
  pool.parallel_for(kReduceChunks, [&](int64_t chunk, int) {
    const int64_t begin = total * chunk / kReduceChunks, end = total * (chunk + 1) / kReduceChunks;
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (int64_t part = 0; part < plan.parts; ++part) sum += partial[part * plan.part_stride + i];
      (i < weight_count ? dweights[i] : dbias[i - weight_count]) = static_cast<float>(sum);
    }
  });
}

}  // namespace sfr
