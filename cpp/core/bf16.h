// Elements of bf16 tensors. Plain data: level sources include it too.
#pragma once
#include <stdint.h>

namespace sfr {

/// The upper half of an f32: its sign, its exponent and 7 of its 23 fraction bits.
struct Bf16 {
  uint16_t bits;
};

}  // namespace sfr
