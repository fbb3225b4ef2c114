// mix_cubes: exchanges cubes between the samples of a batch, each at its place (MagicNet, Chen et al. 2023).
//   x f32 [N, D, H, W, C], rng i32 [3] = (low word of seed, high word of seed, step) -> y (as x)
//   Attributes side: that of the cubes, voxels, a divisor of D, H and W; stream (its name); undo.
//   y[b] at cube p = x[order_p[b]] at cube p; undone y[order_p[b]] = x[b]. order_p: the samples by rising
//   uniforms p N + b of the stream (ties: the earlier first), cubes p counted with x fastest. Any channels:
//   of crops to mix them, of a network's maps at the same resolution to put them back.
// The gradient of either is the other. Errors: an empty stream name, a side that divides an extent not.
#pragma once
#include <cstdint>
#include <string>

namespace sfr {

struct MixCubesAttributes {
  int64_t side = 32;
  std::string stream;
  bool undo = false;
  template <class V>
  void visit(V& v) {
    v("side", side);
    v("stream", stream);
    v("undo", undo);
  }
};

}  // namespace sfr
