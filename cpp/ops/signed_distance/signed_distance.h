// signed_distance: normalised signed distance maps of the classes 1 .. K - 1 (DTC, Luo et al. 2021).
//   labels u8 [N, D, H, W], attribute classes = K >= 2 -> y f32 [N, D, H, W, K - 1]
//   y = D_out / max D_out - D_in / max D_in per sample and class: D_out = distance of voxels outside the
//   class to it, D_in = that of its voxels to what is outside, both 0 elsewhere, the largest over the
//   sample's own voxels. Ignored voxels (255) are neither in the class nor outside it; y is 0 there. Negative
//   inside, positive outside, in [-1, 1]; 0 at voxels of the class with a face neighbour outside it. 0
//   everywhere where a sample has no voxel of the class (as in the method's code) or no other (there 0 / 0).
// Distances in voxels, squared exactly (math/nearest_marks.h). Not differentiable.
#pragma once
#include <cstdint>

#include "core/labels.h"

namespace sfr {

struct SignedDistanceAttributes {
  int64_t classes = 2;
  template <class V>
  void visit(V& v) {
    v("classes", classes);
  }
};

/// Parameters of the kernels of signed_distance.cu, for the map of one class. In work memory: squares of the
/// distances to the class, then to what is outside it [2][samples][d][h][w], twice, and the largest
/// [2][samples].
struct SignedDistanceArgs {
  const uint8_t* labels;
  float* y;
  int32_t *squares, *more_squares, *largest;
  int64_t samples, d, h, w, maps;
  int32_t label;
};

}  // namespace sfr
