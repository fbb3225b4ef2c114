#include "math/conv3d.h"

#include <algorithm>

#include "core/chunks.h"
#include "math/conv_winograd.h"

namespace sfr {

// Which algorithm runs is decided in these two functions.

bool conv3d_uses_winograd(const Conv3dShape& shape) {
  return SFR_DISPATCH(winograd_applies)(shape);
}

bool conv3d_backward_weight_uses_winograd(const Conv3dShape& shape) {
  // Its sums, 4 times as many as there are weights, must stay in a last-level cache's share: 256 channels at
  // 7x7x5 run at 530 effective GFLOP/s against 586 direct.
  constexpr int64_t kMostSums = 4 * 1024 * 1024;
  return conv3d_uses_winograd(shape) && 36 * shape.kd * shape.cin * shape.cout <= kMostSums;
}

namespace {

constexpr int64_t kReduceChunks = 16;

Conv3dShape exchanged(Conv3dShape shape) {
  std::swap(shape.cin, shape.cout);
  return shape;
}

size_t output_bytes(const Conv3dShape& s) {
  return static_cast<size_t>(s.n * s.d * s.h * s.w * s.cout) * sizeof(float);
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

WinogradRowsPlan winograd_rows(const Conv3dShape& shape) {
  WinogradRowsPlan plan;
  SFR_DISPATCH(winograd_rows_plan)(shape, &plan);
  return plan;
}

WinogradWeightsPlan winograd_weights(const Conv3dShape& shape) {
  WinogradWeightsPlan plan;
  SFR_DISPATCH(winograd_weights_plan)(shape, &plan);
  return plan;
}

float* scratch_of(void* work, size_t shared_bytes, size_t scratch_bytes, int thread) {
  return reinterpret_cast<float*>(static_cast<char*>(work) + shared_bytes +
                                  static_cast<size_t>(thread) * scratch_bytes);
}

size_t rows_work_bytes(const Conv3dShape& shape, int threads) {
  if (!conv3d_uses_winograd(shape)) return rows_plan(shape).scratch_bytes * static_cast<size_t>(threads);
  const WinogradRowsPlan plan = winograd_rows(shape);
  return plan.packed_bytes + plan.scratch_bytes * static_cast<size_t>(threads);
}

void run_rows_winograd(ThreadPool& pool, const ConvRowsJob& job, void* work) {
  const WinogradRowsPlan plan = winograd_rows(job.shape);
  float* packed = static_cast<float*>(work);
  const auto pack = SFR_DISPATCH(winograd_pack_weights);
  pool.parallel_for(plan.pack_chunks, [&](int64_t chunk, int) { pack(job, chunk, packed); });
  const auto run_chunk = SFR_DISPATCH(winograd_rows_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    run_chunk(job, packed, chunk, scratch_of(work, plan.packed_bytes, plan.scratch_bytes, thread));
  });
}

void run_rows(ThreadPool& pool, const ConvRowsJob& job, void* work) {
  if (conv3d_uses_winograd(job.shape)) return run_rows_winograd(pool, job, work);
  const ConvRowsPlan plan = rows_plan(job.shape);
  const auto run_chunk = SFR_DISPATCH(conv_rows_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    run_chunk(job, chunk, scratch_of(work, 0, plan.scratch_bytes, thread));
  });
}

size_t winograd_partial_bytes(const WinogradWeightsPlan& plan) {
  return static_cast<size_t>((plan.parts * plan.part_stride + 15) / 16 * 16) * sizeof(float);
}

void backward_weight_winograd(ThreadPool& pool, const Conv3dShape& shape, const ConvInput& x, const float* dy,
                              float* dweights, float* dbias, void* work) {
  const WinogradWeightsPlan plan = winograd_weights(shape);
  float* partial = static_cast<float*>(work);
  float* partial_bias = partial + plan.part_stride - shape.cout;
  const ConvWeightsJob job{shape, x, dy, partial, partial_bias, plan.part_stride};
  const auto run_chunk = SFR_DISPATCH(winograd_weights_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    run_chunk(job, chunk, scratch_of(work, winograd_partial_bytes(plan), plan.scratch_bytes, thread));
  });
  const auto reduce = SFR_DISPATCH(winograd_reduce_weights);
  pool.parallel_for(plan.reduce_chunks, [&](int64_t chunk, int) { reduce(shape, partial, chunk, dweights); });
  for (int64_t o = 0; dbias && o < shape.cout; ++o) {
    double sum = 0;
    for (int64_t part = 0; part < plan.parts; ++part) sum += partial_bias[part * plan.part_stride + o];
    dbias[o] = static_cast<float>(sum);
  }
}

}  // namespace

size_t conv3d_forward_work_bytes(const Conv3dShape& shape, int threads) {
  return rows_work_bytes(shape, threads);
}

size_t conv3d_backward_input_work_bytes(const Conv3dShape& shape, int threads) {
  return rows_work_bytes(exchanged(shape), threads);
}

size_t conv3d_backward_weight_work_bytes(const Conv3dShape& shape, int threads) {
  if (conv3d_backward_weight_uses_winograd(shape)) {
    const WinogradWeightsPlan plan = winograd_weights(shape);
    return winograd_partial_bytes(plan) + plan.scratch_bytes * static_cast<size_t>(threads);
  }
  const ConvWeightsPlan plan = weights_plan(shape);
  return plan.scratch_bytes * static_cast<size_t>(threads) + partial_bytes(shape, plan);
}

void conv3d_forward(ThreadPool& pool, const Conv3dShape& shape, const ConvInput& x, const float* weights,
                    const float* bias, float* y, void* work) {
  run_rows(pool, ConvRowsJob{shape, x, weights, bias, y, false, worth_streaming(y, output_bytes(shape))},
           work);
}

void conv3d_backward_input(ThreadPool& pool, const Conv3dShape& shape, const float* dy, const float* weights,
                           float* dx, void* work) {
  const Conv3dShape turned = exchanged(shape);
  run_rows(pool,
           ConvRowsJob{turned, {dy}, weights, nullptr, dx, true, worth_streaming(dx, output_bytes(turned))},
           work);
}

void conv3d_backward_weight(ThreadPool& pool, const Conv3dShape& shape, const ConvInput& x, const float* dy,
                            float* dweights, float* dbias, void* work) {
  if (conv3d_backward_weight_uses_winograd(shape))
    return backward_weight_winograd(pool, shape, x, dy, dweights, dbias, work);
  const ConvWeightsPlan plan = weights_plan(shape);
  float* partial = static_cast<float*>(work);
  const int64_t weight_count = shape.kd * shape.kh * shape.kw * shape.cin * shape.cout;
  const ConvWeightsJob job =
      plan.parts == 1 ? ConvWeightsJob{shape, x, dy, dweights, dbias ? dbias : partial, 0}
                      : ConvWeightsJob{shape, x, dy, partial, partial + weight_count, plan.part_stride};
  const auto run_chunk = SFR_DISPATCH(conv_weights_chunk);
  pool.parallel_for(plan.chunks, [&](int64_t chunk, int thread) {
    run_chunk(job, chunk, scratch_of(work, partial_bytes(shape, plan), plan.scratch_bytes, thread));
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
