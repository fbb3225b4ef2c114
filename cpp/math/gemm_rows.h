// What the SIMD levels offer for matrix products: packing B and one block of rows times some panels of
// columns. Called by gemm.cpp only; plain data, no inline functions, since level sources include it too.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "math/levels.h"

namespace sfr {

struct GemmTileSizes {
  int64_t panel;    // columns per panel of packed B: 2 vectors
  int64_t rows;     // rows for which A is packed at once
  int64_t k_block;  // depth for which A is packed at once
};

/// C[m, columns of panels [first_panel, last_panel)] = A * B + tail A * tail B (+ bias, + C). A
/// is [m, k] with row pitch lda, or stored as [k, m] when a_transposed; B packed by gemm_pack_panels for n
/// columns in all and depth packed_k of which rows [0, k) are used. The tail is more depth in matrices of its
/// own.
struct GemmRows {
  int64_t m, n, k;
  const float* a;
  int64_t lda;
  bool a_transposed;
  const float* packed_b;
  int64_t packed_k;
  int64_t first_panel, last_panel;
  const float* tail_a;  // [m, tail_k]
  int64_t ld_tail_a, tail_k;
  const float* packed_tail_b;
  const float* bias;  // [n] or null
  float* c;
  int64_t ldc;
  bool accumulate;
};

SFR_DECLARE_LEVELS(void gemm_tile_sizes(GemmTileSizes* sizes))
/// Packs panels [first, last) of B [k, n] (or stored [n, k] when transposed) as [panel][k][columns], zero
/// padded.
SFR_DECLARE_LEVELS(void gemm_pack_panels(float* dst, const float* b, int64_t ldb, int64_t k, int64_t n,
                                         bool transposed, int64_t first, int64_t last))
/// `scratch` holds rows * (k_block + tail_k) floats.
SFR_DECLARE_LEVELS(void gemm_rows(const GemmRows& job, float* scratch))

}  // namespace sfr
