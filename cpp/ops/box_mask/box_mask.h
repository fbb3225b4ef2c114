// box_mask: ones, with zeros in one box at a random place (BCP, Bai et al. 2023).
//   rng i32 [3] = (low word of seed, high word of seed, step) -> y f32 [D, H, W]
//   Attributes shape [D, H, W]; box [d, h, w] < shape on each axis; stream (its name). The box begins at
//   floor(u (extent - box)) of each axis, u the uniforms 0, 1, 2 of the stream for z, y, x: the last place
//   where it would fit is never drawn, as in the method's code.
// Not differentiable. Errors: an empty stream name, a box that is as large as the shape or empty.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sfr {

struct BoxMaskAttributes {
  std::vector<int64_t> shape;
  std::vector<int64_t> box;
  std::string stream;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("box", box);
    v("stream", stream);
  }
};

/// Parameters of the kernel of box_mask.cu.
struct BoxMaskArgs {
  const int32_t* rng;
  float* y;
  int64_t shape[3], box[3];
  uint32_t stream;
};

}  // namespace sfr
