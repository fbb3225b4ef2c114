// crop_rot_flip: one augmented crop of a volume in one pass; equals, on the array v[x][y][z] (the paper's (H,
// W, D)),
//   v = np.rot90(v, k); v = np.flip(v, axis); v = np.pad(v, zeros); v[x0 : x0 + w, y0 : y0 + h, z0 : z0 + d]
//   (RandomRotFlip and RandomCrop of SFR and UA-MT). x0, y0, z0 count from the rotated, unpadded volume; what
//   lies outside it (negative or beyond the end) is 0. x [D, H, W] f32 or u8, parameters i32 [5] = (x0, y0,
//   z0, k, flip), attribute size = [d, h, w] -> y [d, h, w]
// rot_flip_canvas: np.rot90(canvas, k) and np.flip of whole canvases, rows being axis 0.
//   x [N, S, S] f32 or u8, parameters i32 [N, 2] = (k, flip) -> y [N, S, S]
// k: any integer, quarter turns from axis 0 towards axis 1. flip: 0 none, 1 axis 0, 2 axis 1; axes 0 and 1
// are (x, y) of a volume and (y, x) = (row, column) of a canvas, as in the authors' arrays. Not
// differentiable. Errors: data when flip is none of 0, 1, 2.
#pragma once
#include <array>
#include <cstdint>

namespace sfr {

struct CropAttributes {
  std::array<int64_t, 3> size = {0, 0, 0};
  template <class V>
  void visit(V& v) {
    v("size", size);
  }
};

}  // namespace sfr
