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
