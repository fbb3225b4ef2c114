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

}  // namespace sfr
