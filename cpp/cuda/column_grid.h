// How column sums (columns.h) are cut into blocks, for launchers.
#pragma once
#include "cuda/columns.h"
#include "device/launch.h"

namespace sfr {

/// Chunks depend on the sizes alone, never on the card.
inline ColumnSums column_sums_of(int64_t rows, int64_t columns, int32_t sums, void* work) {
  constexpr int64_t kRowsWorthABlock = 64, kMostChunks = 256;
  const int64_t lanes = std::max<int64_t>(256 / std::max<int64_t>(columns, 1), 1);
  const int64_t chunks = std::clamp<int64_t>(rows / (lanes * kRowsWorthABlock), 1, kMostChunks);
  return {static_cast<double*>(work), rows, columns, static_cast<int32_t>(chunks), sums};
}

inline size_t column_sums_bytes(const ColumnSums& c) {
  return static_cast<size_t>(c.chunks * c.sums * c.columns) * sizeof(double);
}

/// Blocks of the kernel that fills it: 256 columns, and a chunk of the rows.
inline Grid column_grid(const ColumnSums& c) {
  return {static_cast<uint32_t>((c.columns + 255) / 256), static_cast<uint32_t>(c.chunks)};
}

}  // namespace sfr
