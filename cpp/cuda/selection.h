// Counting and selecting among many numbers by one block of 256 threads, for ops that choose elements. Plain:
// a selection reads all of them once per bit.
#pragma once
#include "cuda/bf16.h"

namespace sfr::cuda {

/// One number per thread, which all of them read; the block's own.
using BlockCounts = int64_t[256];

/// The sum of what the threads have counted; all of them come by together.
SFR_DEVICE int64_t block_sum(BlockCounts& counts, int64_t own) {
  __syncthreads();
  counts[threadIdx.x] = own;
  __syncthreads();
  int64_t total = 0;
  for (uint32_t t = 0; t < blockDim.x; ++t) total += counts[t];
  return total;
}

/// How many i in [0, n) are counted.
template <class F>
SFR_DEVICE int64_t block_count(BlockCounts& counts, int64_t n, F is_counted) {
  int64_t own = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) own += is_counted(i) ? 1 : 0;
  return block_sum(counts, own);
}

/// A word that is ordered as numbers are; 0 and -0 have the same one.
SFR_DEVICE uint32_t order_of(float x) {
  const FloatBits both{x + 0.0f};
  return (both.bits >> 31) != 0 ? ~both.bits : both.bits | 0x80000000u;
}

/// The number of that order.
SFR_DEVICE float number_of(uint32_t order) {
  FloatBits both;
  both.bits = (order >> 31) != 0 ? order & 0x7fffffffu : ~order;
  return both.value;
}

/// The k-th lowest value(i), counted from 1, of the i in [0, n) that are among; there are as many, none NaN.
template <class Among, class Value>
SFR_DEVICE float block_select(BlockCounts& counts, int64_t n, int64_t k, Among is_among, Value value) {
  uint32_t found = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    const uint32_t higher = found | bit;
    const int64_t below =
        block_count(counts, n, [&](int64_t i) { return is_among(i) && order_of(value(i)) < higher; });
    if (below < k) found = higher;
  }
  return number_of(found);
}

}  // namespace sfr::cuda
