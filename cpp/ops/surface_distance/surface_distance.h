// What is marked in a volume as its surface, and how far marks are from those of another volume. None of the
// three is differentiable.
//
// border: mask [D, H, W] u8 (non-zero = object) -> y [D, H, W] u8, 1 at voxels of the object that are not in
//   its erosion with the 6-neighbourhood; beyond the volume counts as outside.
// surface_codes: mask [D, H, W] u8 -> y [D + 1, H + 1, W + 1] u8: the cell (z, y, x) has the voxels z - 1 and
// z,
//   y - 1 and y, x - 1 and x for corners; corner (dz, dy, dx) sets bit 4 dz + 2 dy + dx; a cell whose corners
//   are all inside is 0, as one whose corners are all outside.
// surface_distance: a [D, H, W] u8, b [D, H, W] u8, attribute spacing = (x, y, z) > 0 -> y [D, H, W] f32: for
//   each mark (non-zero) of a the Euclidean distance to the nearest mark of b, in units of spacing; -1 where
//   a has no mark; +inf at all marks of a when b has none. With marks from border it equals
//   medpy.metric.binary.__surface_distances(a, b, voxelspacing, connectivity=1) put back on the grid.
//   Exact, separable: squared distances within rows, then the least over y, then over z, where a search from
//   near to far ends as soon as a step alone is longer than the best distance so far. Only columns along z in
//   which a has marks are searched.
#pragma once
#include <array>
#include <cstdint>

#include "math/levels.h"

namespace sfr {

struct SurfaceDistanceAttributes {
  std::array<double, 3> spacing = {1, 1, 1};
  template <class V>
  void visit(V& v) {
    v("spacing", spacing);
  }
};

// A row of border: voxels of the object without a neighbour outside it. `above` is null in rows at the
// volume's edge, where the whole object is border.
SFR_DECLARE_LEVELS(void border_row(const uint8_t* row, const uint8_t* above, const uint8_t* below,
                                   const uint8_t* before, const uint8_t* behind, int64_t width, uint8_t* y))

// A row of surface_codes [width + 1] from the rows of voxels (dz, dy) = (0, 0), (0, 1), (1, 0), (1, 1); null:
// all outside.
SFR_DECLARE_LEVELS(void surface_code_row(const uint8_t* const* rows, int64_t width, uint8_t* y))

/// Columns that are searched together.
constexpr int64_t kColumnTile = 16;

// y[q] = min over p of (spacing (q - p))^2 + f[p] for at most kColumnTile neighbouring columns, rows `pitch`
// apart, at the q where is_needed[q * needed_pitch] is not 0; nothing is written elsewhere.
SFR_DECLARE_LEVELS(void nearest_in_columns(const float* f, int64_t pitch, int64_t length, int64_t columns,
                                           float spacing, const uint8_t* is_needed, int64_t needed_pitch,
                                           float* y))

// The same where marks[q] is not 0, as a root; -1 elsewhere. The rows of f are kColumnTile apart, those of
// marks and y `pitch`.
SFR_DECLARE_LEVELS(void nearest_at_marks(const float* f, const uint8_t* marks, int64_t pitch, int64_t length,
                                         int64_t columns, float spacing, float* y))

}  // namespace sfr
