// How a product C [m, n] over k is cut into blocks of tiled_product.h, for launchers.
#pragma once
#include "device/launch.h"

namespace sfr {

/// Blocks of 64 x 64 elements of C; z: batches, or parts of K.
inline Grid product_grid(int64_t m, int64_t n, int64_t z) {
  return {static_cast<uint32_t>((m + 63) / 64), static_cast<uint32_t>((n + 63) / 64),
          static_cast<uint32_t>(z)};
}

/// Parts of a long K: weight gradients sum over all voxels into a small C, which would leave the card idle.
/// By the sizes alone.
inline int64_t product_parts(int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kDepthWorthABlock = 512, kBlocksToFillACard = 512;
  const int64_t blocks = (m + 63) / 64 * ((n + 63) / 64);
  return std::clamp<int64_t>(std::min(k / kDepthWorthABlock, kBlocksToFillACard / blocks), 1, 256);
}

/// Bytes of [parts][m][n]; none when there is one part, which is the result itself.
inline size_t parts_bytes(int64_t m, int64_t n, int64_t parts) {
  return parts == 1 ? 0 : (static_cast<size_t>(parts * m * n) * sizeof(float) + 63) / 64 * 64;
}

}  // namespace sfr
