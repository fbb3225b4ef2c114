// Matrix products in f32, and with B in bf16, row-major, over the thread pool or on the calling thread.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"
#include "math/gemm_rows.h"

namespace sfr {

/// C [m, n] (row pitch ldc) = A * B, plus bias [n] unless null, plus tail_a [m, tail_k] * tail_b [tail_k, n]
/// (row pitch n) when tail_k > 0, plus the old C when `accumulate`. A is [m, k] with row pitch lda, or stored
/// as [k, m] when a_transposed (weight gradients: A = inputs or gradients of all rows). B is [k, n] with row
/// pitch ldb, or stored as [n, k] when b_transposed; when `packed_b` is set (see pack_b) b, ldb and
/// b_transposed are ignored. With `bf16` B holds bf16 and A, not transposed, is rounded to it; sums, tail,
/// bias and C stay f32. All extents >= 1; C overlaps no input.
struct GemmArguments {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t lda = 0;
  bool a_transposed = false;
  const void* b = nullptr;
  bool bf16 = false;
  int64_t ldb = 0;
  bool b_transposed = false;
  const float* packed_b = nullptr;
  const float* tail_a = nullptr;
  int64_t ld_tail_a = 0, tail_k = 0;
  const float* tail_b = nullptr;
  const float* bias = nullptr;
  float* c = nullptr;
  int64_t ldc = 0;
  bool accumulate = false;
};

/// Bytes of B [k, n] packed for the current SIMD level.
size_t packed_b_bytes(int64_t k, int64_t n);

/// Packs B [k, n] (row pitch ldb; stored as [n, k] when `transposed`) into dst for any number of products at
/// the current SIMD level. On the calling thread.
void pack_b(float* dst, const float* b, int64_t ldb, int64_t k, int64_t n, bool transposed);

/// Work memory in bytes that gemm() needs on `threads` threads: depends on m, n, k, tail_k, bf16,
/// a_transposed and whether packed_b is set. `work` must be aligned to 64 bytes.
size_t gemm_work_bytes(const GemmArguments& arguments, int threads);

/// Runs on the pool. The bits do not depend on the number of threads (per SIMD level).
void gemm(ThreadPool& pool, const GemmArguments& arguments, void* work);

/// The same on the calling thread, in f32 and without a tail, for many small products inside a parallel loop.
/// Its bits may differ from gemm()'s.
size_t gemm_serial_work_bytes(const GemmArguments& arguments);
void gemm_serial(const GemmArguments& arguments, void* work);

}  // namespace sfr
