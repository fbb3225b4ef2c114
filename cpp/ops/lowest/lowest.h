// lowest: y = 1 at the `count` lowest x among those whose mask is not 0, else 0; all of these when there are
// fewer.
//   x [..] f32 without NaN, mask f32 (as x) -> y f32 (as x); attribute count >= 1. Ties: the earlier element.
// Not differentiable.
#pragma once
#include <cstdint>

namespace sfr {

struct LowestAttributes {
  int64_t count = 1;
  template <class V>
  void visit(V& v) {
    v("count", count);
  }
};

/// Parameters of the kernel of lowest.cu.
struct LowestArgs {
  const float *x, *mask;
  float* y;
  int64_t elements, wanted;
};

}  // namespace sfr
