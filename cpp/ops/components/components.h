// Connected components of label volumes; u8 [N, D, H, W] -> u8 [N, D, H, W], each sample by itself.
// largest_component: of each class but 0, the largest 26-connected component stays, others become 0. Of
//   components of equal size the one with the first voxel stays.
// drop_small_components: 26-connected components of a class but 0 with fewer voxels than `voxels` become 0.
// fill_holes: a 6-connected component of class 0 that touches no face of the volume and only one other class
//   becomes that class. (scipy.ndimage.binary_fill_holes, class by class, except that a hole between two
//   classes stays open.)
// Not differentiable. Errors: shape when a sample has 2^31 voxels or more.
#pragma once
#include <cstdint>

namespace sfr {

struct DropSmallComponentsAttributes {
  int64_t voxels = 1;
  template <class V>
  void visit(V& v) {
    v("voxels", voxels);
  }
};

/// Parameters of the kernels of components.cu. In work memory, all but the best [samples][256] by voxel, and
/// indices within the sample: the best root of each class, names on the way to the root, roots, sizes at
/// them.
struct ComponentArgs {
  const uint8_t* x;
  uint8_t* y;
  unsigned long long* best;
  int32_t *names, *roots, *sizes;
  int64_t samples, d, h, w;
};

}  // namespace sfr
