// window_partition: x [N, H, W, C] f32, attribute window: w >= 1 -> y [N nh nw, w w, C], nh = ceil(H / w),
//   nw = ceil(W / w): tiles of w x w tokens, zeros beyond the bottom and right edge (segment-anything's
//   window_partition).
// window_merge: the inverse, dropping the padding: x [N nh nw, w w, C], attributes window, size [H, W]
//   -> y [N, H, W, C].
// Each is the other's gradient.
#pragma once
#include <array>
#include <cstdint>

namespace sfr {

struct WindowPartitionAttributes {
  int64_t window = 14;
  template <class V>
  void visit(V& v) {
    v("window", window);
  }
};

struct WindowMergeAttributes {
  int64_t window = 14;
  std::array<int64_t, 2> size = {0, 0};
  template <class V>
  void visit(V& v) {
    v("window", window);
    v("size", size);
  }
};

}  // namespace sfr
