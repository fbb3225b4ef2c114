// A search from near to far for a vector of columns at a time: all lanes look at the same row, so nothing is
// gathered. Surfaces of a segmentation lie close to each other and the search is short; at worst it looks at
// every row.
#include "ops/surface_distance/surface_distance.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

/// min over p of (spacing (q - p))^2 + f[p] for n columns.
SFR_INLINE vf nearest(const float* f, int64_t pitch, int64_t length, int64_t q, int n, float spacing) {
  vf best = load_partial(f + q * pitch, n);
  for (int64_t step = 1; step <= q || step < length - q; ++step) {
    const float distance = spacing * static_cast<float>(step), square = distance * distance;
    if (!any(best > square)) break;
    if (step <= q) best = vmin(load_partial(f + (q - step) * pitch, n) + square, best);
    if (step < length - q) best = vmin(load_partial(f + (q + step) * pitch, n) + square, best);
  }
  return best;
}

SFR_INLINE int lanes_left(int64_t columns, int64_t x) {
  return columns - x < kLanes ? static_cast<int>(columns - x) : kLanes;
}

}  // namespace

void border_row(const uint8_t* row, const uint8_t* above, const uint8_t* below, const uint8_t* before,
                const uint8_t* behind, int64_t width, uint8_t* __restrict y) {
  for (int64_t x = 0; x < width; ++x) y[x] = row[x] != 0;
  if (above == nullptr) return;
  for (int64_t x = 1; x < width - 1; ++x) {
    const int inside = (row[x - 1] != 0) & (row[x + 1] != 0) & (above[x] != 0) & (below[x] != 0) &
                       (before[x] != 0) & (behind[x] != 0);
    y[x] &= static_cast<uint8_t>(1 - inside);
  }
}

void surface_code_row(const uint8_t* const* rows, int64_t width, uint8_t* __restrict y) {
  for (int64_t x = 0; x <= width; ++x) y[x] = 0;
  for (int corner = 0; corner < 4; ++corner) {
    const uint8_t* row = rows[corner];
    if (row == nullptr) continue;
    const auto right = static_cast<uint8_t>(2 << 2 * corner), left = static_cast<uint8_t>(1 << 2 * corner);
    for (int64_t x = 0; x < width; ++x) y[x] |= static_cast<uint8_t>(row[x] != 0 ? right : 0);
    for (int64_t x = 0; x < width; ++x) y[x + 1] |= static_cast<uint8_t>(row[x] != 0 ? left : 0);
  }
  for (int64_t x = 0; x <= width; ++x) y[x] = y[x] == 255 ? 0 : y[x];
}

void nearest_in_columns(const float* f, int64_t pitch, int64_t length, int64_t columns, float spacing,
                        const uint8_t* is_needed, int64_t needed_pitch, float* y) {
  for (int64_t x = 0; x < columns; x += kLanes) {
    const int n = lanes_left(columns, x);
    for (int64_t q = 0; q < length; ++q)
      if (is_needed[q * needed_pitch] != 0)
        store_partial(y + q * pitch + x, nearest(f + x, pitch, length, q, n, spacing), n);
  }
}

void nearest_at_marks(const float* f, const uint8_t* marks, int64_t pitch, int64_t length, int64_t columns,
                      float spacing, float* y) {
  for (int64_t x = 0; x < columns; x += kLanes) {
    const int n = lanes_left(columns, x);
    for (int64_t q = 0; q < length; ++q) {
      const uint8_t* row = marks + q * pitch + x;
      bool is_marked = false;
      for (int i = 0; i < n; ++i) is_marked |= row[i] != 0;
      float lanes[kLanes];
      if (is_marked) store(lanes, nearest(f + x, kColumnTile, length, q, n, spacing));
      float* out = y + q * pitch + x;
      for (int i = 0; i < n; ++i) out[i] = row[i] != 0 ? __builtin_sqrtf(lanes[i]) : -1.0f;
    }
  }
}

}  // namespace sfr::SFR_LEVEL
