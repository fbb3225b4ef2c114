// What the SIMD levels offer for matrix products: packing B and one block of rows times some panels of
// columns. Called by gemm.cpp only; plain data, no inline functions, since level sources include it too.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/bf16.h"
#include "math/levels.h"

namespace sfr {

struct GemmTileSizes {
  int64_t panel;      // columns per panel of packed B: 2 vectors
  int64_t rows;       // rows for which A is packed at once
  int64_t k_block;    // depth for which A is packed at once, in places
  int64_t per_place;  // bf16 elements that a place, 4 bytes of a packed matrix, holds: 2, or 1 widened to f32
};

/// C[m, columns of panels [first_panel, last_panel)] = A * B + tail A * tail B (+ bias, + C). A
/// is [m, k] with row pitch lda, or stored as [k, m] when a_transposed; B packed by gemm_pack_panels for n
/// columns in all and depth packed_k of which rows [0, k) are used. The tail is more depth in matrices of its
/// own. In bf16 products B is packed by gemm_pack_bf16_panels, A is not transposed and is rounded as it is
/// packed; the tail stays f32.
struct GemmRows {
  int64_t m, n, k;
  bool bf16;
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

SFR_DECLARE_BF16_LEVELS(void gemm_tile_sizes(GemmTileSizes* sizes))
/// Packs panels [first, last) of B [k, n] (or stored [n, k] when transposed) as [panel][k][columns], zero
/// padded.
SFR_DECLARE_BF16_LEVELS(void gemm_pack_panels(float* dst, const float* b, int64_t ldb, int64_t k, int64_t n,
                                              bool transposed, int64_t first, int64_t last))
/// The same of a B in bf16: [panel][places of k][columns], the lower element of a place in its lower half.
SFR_DECLARE_BF16_LEVELS(void gemm_pack_bf16_panels(float* dst, const Bf16* b, int64_t ldb, int64_t k,
                                                   int64_t n, bool transposed, int64_t first, int64_t last))
/// `scratch` holds rows * (k_block + tail_k) floats.
SFR_DECLARE_BF16_LEVELS(void gemm_rows(const GemmRows& job, float* scratch))

}  // namespace sfr
