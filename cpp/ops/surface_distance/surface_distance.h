// surface_distance: for each border voxel of a, the Euclidean distance to the nearest border voxel of b.
//   a [D, H, W] u8, b [D, H, W] u8 (non-zero = object), attribute spacing = (x, y, z) > 0 -> y [D, H, W] f32
//   in units of spacing; -1 where a has no border voxel; +inf at all of a's border voxels when b is empty.
// The border is the object minus its erosion with the 6-neighbourhood; beyond the volume counts as outside.
// Equals medpy.metric.binary.__surface_distances(a, b, voxelspacing, connectivity=1) put back on the grid.
// Exact Euclidean distance transform, separable (Felzenszwalb & Huttenlocher 2012), in double. Not
// differentiable.
#pragma once
#include <array>
#include <cstdint>

namespace sfr {

struct SurfaceDistanceAttributes {
  std::array<double, 3> spacing = {1, 1, 1};
  template <class V>
  void visit(V& v) {
    v("spacing", spacing);
  }
};

}  // namespace sfr
