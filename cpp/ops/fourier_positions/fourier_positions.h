#pragma once
#include <array>
#include <cstdint>

namespace sfr {

struct FourierPositionsAttributes {
  std::array<int64_t, 2> size{};
  template <class V>
  void visit(V& v) {
    v("size", size);
  }
};

/// Parameters of the kernel of fourier_positions.cu.
struct FourierPositionsArgs {
  const float* matrix;
  float* y;
  int64_t height, width, features;
};

}  // namespace sfr
