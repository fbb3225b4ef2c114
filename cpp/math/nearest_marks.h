// How far the marks of one set are from those of another: exact, in f32, separable. Along rows the distance
// is known from the marks; over y and then z a search from near to far ends as soon as a step alone is longer
// than the best distance so far. It starts at marks only, a vector of columns at a time, so that all lanes
// look at the same row and nothing is gathered; what it finds in a plane is kept for the marks above and
// below. Surfaces of a segmentation lie close to each other: few planes and rows are looked at. At worst all
// are.
#pragma once
#include "math/marks.h"

namespace sfr {

/// Columns along z that are searched together.
constexpr int64_t kColumnTile = 16;

/// Work memory for volumes of at most these extents.
struct NearestWork {
  float* squares;  // [z][y][x up to whole tiles]
  float* ramp;     // squared distances along a row, of -x .. x elements
  float* planes;   // [threads][z][kColumnTile]
  NearestWork(Carver& carver, const Extents& extents, int threads);
};

/// distances f32 [marks of `from`], in their order: Euclidean distance of each to the nearest mark of `to`,
/// in units of the spacing (x, y, z); infinity when `to` has none. Both have the same extents.
void nearest_distances(ThreadPool& pool, const Marks& from, const Marks& to,
                       const std::array<double, 3>& spacing, const NearestWork& work, float* distances);

/// What a search along columns reads and writes.
struct ColumnSearch {
  const Marks *from, *to;
  const float* squares;  // [z][y][pitch]: to the nearest mark of `to` in the row, where it has one
  int64_t pitch;
  float spacing_y, spacing_z;
  float* distances;
};

// Searches for the marks of `from` in the tile of columns that begins at (y, x), x a multiple of kColumnTile.
// `planes` has memory for a float of each column and z.
SFR_DECLARE_LEVELS(void search_columns(const ColumnSearch& search, int64_t y, int64_t x, float* planes))

}  // namespace sfr
