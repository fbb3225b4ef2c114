// Matrix products with the blocks of a volume: gathered from it, or scattered to it, a few hundred rows at a
// time, so that the gathered matrix never leaves the second-level cache. f32, over the thread pool; the bits
// do not depend on the number of threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace sfr {

/// A volume [n, d * bd, h * bh, w * bw, channels] as n * d * h * w blocks of bd x bh x bw voxels. One block
/// is one row, its voxels side by side.
struct BlockShape {
  int64_t n, d, h, w;
  int64_t bd, bh, bw;
  int64_t channels;

  int64_t rows() const { return n * d * h * w; }
  int64_t row_floats() const { return bd * bh * bw * channels; }
};

/// y [rows, outputs] = blocks of x, times weight [row_floats, outputs] (stored as [outputs, row_floats] when
/// `transposed`), plus bias [outputs] unless null.
struct GatherProduct {
  BlockShape shape;
  int64_t outputs;
  const float *x, *weight, *bias;
  const float* norm;  // [3, channels] or null: relu((x - mean) * scale + bias) in place of x
  bool transposed;
  float* y;
};

size_t gather_product_work_bytes(const BlockShape& shape, int64_t outputs, int threads);
void gather_product(ThreadPool& pool, const GatherProduct& product, void* work);

/// Blocks of y = x [rows, inputs] times weight [inputs, row_floats] (stored as [row_floats, inputs] when
/// `transposed`), plus bias [channels] unless null.
struct ScatterProduct {
  BlockShape shape;
  int64_t inputs;
  const float *x, *weight, *bias;
  bool transposed;
  float* y;
};

size_t scatter_product_work_bytes(const BlockShape& shape, int64_t inputs, int threads);
void scatter_product(ThreadPool& pool, const ScatterProduct& product, void* work);

/// dweight [columns, row_floats] = rows [rows, columns] transposed, times the blocks of `volume`; as
/// [row_floats, columns] when `transposed`. Unless null, sum_rows [columns] and sum_voxels [channels] are the
/// sums of all rows and of all voxels.
struct BlockWeightGradient {
  BlockShape shape;
  int64_t columns;
  const float *rows, *volume;
  const float* norm;  // of the volume, as in GatherProduct
  bool transposed;
  float *dweight, *sum_rows, *sum_voxels;
};

size_t block_weight_gradient_work_bytes(const BlockShape& shape, int64_t columns, int threads);
void block_weight_gradient(ThreadPool& pool, const BlockWeightGradient& gradient, void* work);

}  // namespace sfr
