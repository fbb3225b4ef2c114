// fill: a tensor of one value. Attributes: shape, value.  -> y [shape] f32
#pragma once
#include <cstdint>
#include <vector>

namespace sfr {

struct FillAttributes {
  std::vector<int64_t> shape;
  double value = 0;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
    v("value", value);
  }
};

/// Parameters of the kernel of fill.cu.
struct FillArgs {
  float* y;
  int64_t count;
  float value;
};

}  // namespace sfr
