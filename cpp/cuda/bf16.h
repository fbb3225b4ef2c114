// Elements of bf16 tensors as numbers; kernels compute in f32.
#pragma once
#include "core/bf16.h"
#include "cuda/elements.h"
#include "cuda/kernel.h"

namespace sfr::cuda {

union FloatBits {
  float value;
  uint32_t bits;
};

SFR_DEVICE float as_float(float x) {
  return x;
}

SFR_DEVICE float as_float(Bf16 x) {
  FloatBits both;
  both.bits = static_cast<uint32_t>(x.bits) << 16;
  return both.value;
}

/// The nearest, the even one of two; NaN stays NaN.
SFR_DEVICE Bf16 as_bf16(float x) {
  FloatBits both{x};
  const uint32_t upper = both.bits >> 16;
  if (x != x) return {static_cast<uint16_t>(upper | 0x40)};
  return {static_cast<uint16_t>((both.bits + 0x7fff + (upper & 1)) >> 16)};
}

}  // namespace sfr::cuda

namespace sfr {

SFR_DEVICE float Elements::operator[](int64_t i) const {
  return is_bf16 ? cuda::as_float(static_cast<const Bf16*>(data)[i]) : static_cast<const float*>(data)[i];
}

SFR_DEVICE void Results::Element::operator=(float value) const {
  if (is_bf16)
    static_cast<Bf16*>(data)[i] = cuda::as_bf16(value);
  else
    static_cast<float*>(data)[i] = value;
}

SFR_DEVICE Results::Element Results::operator[](int64_t i) const {
  return {data, i, is_bf16};
}

}  // namespace sfr
