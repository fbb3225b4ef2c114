// The kernel's side of columns.h.
#pragma once
#include "cuda/columns.h"
#include "cuda/kernel.h"

namespace sfr::cuda {

/// Fills the partial sums of block (column group, chunk). add(row, column, own) adds one element's terms to
/// own [kSums]. Columns run over the threads, so that neighbours read neighbours; where they are few, threads
/// share a column's rows and their sums are added in the order of the threads.
template <int kSums, class F>
SFR_DEVICE void fill_column_sums(const ColumnSums& c, F add) {
  SFR_SHARED(double, shared, [kSums][256]);
  const int thread = static_cast<int>(threadIdx.x);
  const int width = c.columns < 256 ? static_cast<int>(c.columns) : 256, lanes = 256 / width;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * width + thread % width;
  const int lane = thread / width;
  const int64_t end = c.rows * (blockIdx.y + 1) / c.chunks;
  double own[kSums] = {};
  if (lane < lanes && column < c.columns)
    for (int64_t row = c.rows * blockIdx.y / c.chunks + lane; row < end; row += lanes) add(row, column, own);
  for (int s = 0; s < kSums; ++s) shared[s][thread] = own[s];
  __syncthreads();
  if (lane != 0 || column >= c.columns) return;
  for (int s = 0; s < kSums; ++s) {
    double total = 0;
    for (int l = 0; l < lanes; ++l) total += shared[s][l * width + thread];
    c.partial[(static_cast<int64_t>(blockIdx.y) * kSums + s) * c.columns + column] = total;
  }
}

/// Sum `s` of a column.
SFR_DEVICE double column_sum(const ColumnSums& c, int s, int64_t column) {
  double total = 0;
  for (int chunk = 0; chunk < c.chunks; ++chunk)
    total += c.partial[(static_cast<int64_t>(chunk) * c.sums + s) * c.columns + column];
  return total;
}

}  // namespace sfr::cuda
