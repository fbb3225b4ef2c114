// C = A B in f32 through shared memory, for every kernel that is a matrix product: linear, matmul and the
// convolutions, whose matrices are gathered from volumes.
//
// A block of 256 threads owns 64 x 64 elements of C, each thread 4 x 4 of them, and walks along K in steps of
// 16: 8 loads per 16 multiply-adds from shared memory, one load of A and B from device memory per 64. Sums
// run in order of k. Far from the card's peak, and easy to see right; what replaces it is measured against
// it.
#pragma once
#include "cuda/bf16.h"

namespace sfr::cuda {

constexpr int kTile = 64;         // rows and columns of a block
constexpr int kTileDepth = 16;    // of a step along K
constexpr int kTileThreads = 16;  // along each side; thread (i, j) owns rows i + 16 r and columns j + 16 c

/// A matrix in memory, and the shape of what any operand of tiled_product offers: row(i) and column(j) are
/// computed once for many elements, at(row, column) reads one.
struct Strided {
  Elements data;
  int64_t row_stride, column_stride;
  SFR_DEVICE int64_t row(int64_t i) const { return i * row_stride; }
  SFR_DEVICE int64_t column(int64_t j) const { return j * column_stride; }
  SFR_DEVICE float at(int64_t row, int64_t column) const { return data[row + column]; }
};

/// Another operand whose elements are rounded to bf16, as those are that meet a weight in bf16.
template <class M>
struct Rounded {
  M matrix;
  SFR_DEVICE auto row(int64_t i) const { return matrix.row(i); }
  SFR_DEVICE auto column(int64_t j) const { return matrix.column(j); }
  template <class Row, class Column>
  SFR_DEVICE float at(const Row& row, const Column& column) const {
    return as_float(as_bf16(matrix.at(row, column)));
  }
};

/// Another operand with rows and columns exchanged.
template <class M>
struct Transposed {
  M matrix;
  SFR_DEVICE auto row(int64_t i) const { return matrix.column(i); }
  SFR_DEVICE auto column(int64_t j) const { return matrix.row(j); }
  template <class Row, class Column>
  SFR_DEVICE float at(const Row& row, const Column& column) const {
    return matrix.at(column, row);
  }
};

/// The range of k that a block sums.
struct Depth {
  int64_t begin, end;
};

/// Calls write(i, j, sum over k in `depth` of A(i, k) B(k, j)) for the elements of block (x, y) of C [m, n].
template <class A, class B, class Write>
SFR_DEVICE void tiled_product(int64_t m, int64_t n, Depth depth, const A& a, const B& b, Write write) {
  SFR_SHARED(float, tile_a, [kTileDepth][kTile + 1]);
  SFR_SHARED(float, tile_b, [kTileDepth][kTile + 1]);
  constexpr int kLoads = kTile * kTileDepth / 256, kOwn = kTile / kTileThreads;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * kTile,
                first_column = static_cast<int64_t>(blockIdx.y) * kTile;
  // This thread loads column k + thread % 16 of A, row k + thread / 64 (+ 4 ..) of B.
  const int a_depth = thread % kTileDepth, b_depth = thread / kTile, b_column = thread % kTile;
  const auto column = b.column(first_column + b_column < n ? first_column + b_column : 0);
  float sums[kOwn][kOwn] = {};
  for (int64_t k = depth.begin; k < depth.end; k += kTileDepth) {
    const bool a_inside = k + a_depth < depth.end;
    const auto a_column = a.column(a_inside ? k + a_depth : k);
    for (int load = 0; load < kLoads; ++load) {
      const int row = thread / kTileDepth + load * (256 / kTileDepth), step = b_depth + load * (256 / kTile);
      tile_a[a_depth][row] = a_inside && first_row + row < m ? a.at(a.row(first_row + row), a_column) : 0.0f;
      tile_b[step][b_column] =
          k + step < depth.end && first_column + b_column < n ? b.at(b.row(k + step), column) : 0.0f;
    }
    __syncthreads();
    for (int d = 0; d < kTileDepth; ++d) {
      float own_a[kOwn], own_b[kOwn];
      for (int i = 0; i < kOwn; ++i) {
        own_a[i] = tile_a[d][thread / kTileThreads + i * kTileThreads];
        own_b[i] = tile_b[d][thread % kTileThreads + i * kTileThreads];
      }
      for (int i = 0; i < kOwn; ++i)
        for (int j = 0; j < kOwn; ++j) sums[i][j] += own_a[i] * own_b[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < kOwn; ++i)
    for (int j = 0; j < kOwn; ++j) {
      const int64_t row = first_row + thread / kTileThreads + i * kTileThreads,
                    own_column = first_column + thread % kTileThreads + j * kTileThreads;
      if (row < m && own_column < n) write(row, own_column, sums[i][j]);
    }
}

}  // namespace sfr::cuda
