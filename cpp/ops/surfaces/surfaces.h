// Where the surface of a class lies in label volumes, and how far two volumes' surfaces are from each other.
// A surface has two kinds of elements:
//   border voxels: those of the class with one of their six neighbours outside it;
//   cells: eight voxels of which some are of the class and some are not. The cell (z, y, x) has the voxels
//     z - 1 and z, y - 1 and y, x - 1 and x, so that there is one more than voxels along each axis; its code
//     has bit 4 dz + 2 dy + dx for the corner (dz, dy, dx).
// What is beyond the volume is outside. Not differentiable.
//
// class_surfaces: labels u8 [D, H, W], attribute classes = K >= 2 -> y i32 [K - 1, 8]: for the classes 1 .. K
// - 1
//   the smallest box that holds all their voxels, first (z, y, x) and extents, and the numbers of border
//   voxels and cells; 0 everywhere for a class that has no voxel. Labels of K and more are of no class.
//   Errors: shape for more than 2^31 - 1 voxels.
// surface_distances: a, b u8 [D, H, W] (same shape), attributes label, begin and extents (z, y, x) of a box
// that
//   holds all voxels of the class in both, spacing = (x, y, z) > 0, counts = border voxels of a and b, cells
//   of a and b -> f32 [counts[0]], f32 [counts[1]], f32 [counts[2]], f32 [counts[3]], u8 [counts[2]], u8
//   [counts[3]]: for each border voxel of a, as it lies in memory, the distance to the nearest one of b, in
//   units of spacing; the same from b to a; both again for cells; the cells' codes. Infinite where the other
//   has none. Equals medpy.metric.binary.__surface_distances(a, b, voxelspacing, connectivity=1) and, for
//   cells, the distances of the package surface-distance. Errors: usage when counts are not what
//   class_surfaces says.
#pragma once
#include <array>
#include <cstdint>

#include "math/levels.h"

namespace sfr {

struct ClassSurfacesAttributes {
  int64_t classes = 2;
  template <class V>
  void visit(V& v) {
    v("classes", classes);
  }
};

struct SurfaceDistancesAttributes {
  int64_t label = 1;
  std::array<int64_t, 3> begin = {0, 0, 0}, extents = {0, 0, 0};
  std::array<double, 3> spacing = {1, 1, 1};
  std::array<int64_t, 4> counts = {0, 0, 0, 0};
  template <class V>
  void visit(V& v) {
    v("label", label);
    v("begin", begin);
    v("extents", extents);
    v("spacing", spacing);
    v("counts", counts);
  }
};

// Rows of marks, `words` long (math/marks.h). Both return the number of marks they write.
//
// Voxels of `row` without a neighbour in it or in one of the four rows around it.
SFR_DECLARE_LEVELS(int64_t border_row(const uint64_t* row, const uint64_t* const* around, int64_t words,
                                      uint64_t* border))
// Cells among the rows of voxels (dz, dy) = (0, 0), (0, 1), (1, 0), (1, 1): one more than there are voxels,
// in `cell_words` words.
SFR_DECLARE_LEVELS(int64_t cell_row(const uint64_t* const* rows, int64_t words, int64_t cell_words,
                                    uint64_t* cells))

}  // namespace sfr
