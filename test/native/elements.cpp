#include "native/elements.h"

#include <cstring>

#include "native/op_test.h"

namespace sfr::test {

Bf16 nearest_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t upper = bits >> 16, lower = bits & 0xffff;
  const bool up = lower > 0x8000 || (lower == 0x8000 && (upper & 1) == 1);
  return {static_cast<uint16_t>(upper + (up ? 1 : 0))};
}

float bf16_value(Bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

double element(const Tensor& t, int64_t i) {
  switch (t.type().dtype) {
    case DType::f32:
      return reinterpret_cast<const float*>(t.data())[i];
    case DType::f64:
      return reinterpret_cast<const double*>(t.data())[i];
    case DType::i32:
      return reinterpret_cast<const int32_t*>(t.data())[i];
    case DType::u8:
      return reinterpret_cast<const uint8_t*>(t.data())[i];
    case DType::u16:
      return reinterpret_cast<const uint16_t*>(t.data())[i];
    case DType::bf16:
      return bf16_value(reinterpret_cast<const Bf16*>(t.data())[i]);
  }
  return 0;
}

void set_element(Tensor& t, int64_t i, double value) {
  switch (t.type().dtype) {
    case DType::f32:
      reinterpret_cast<float*>(t.data())[i] = static_cast<float>(value);
      return;
    case DType::f64:
      reinterpret_cast<double*>(t.data())[i] = value;
      return;
    case DType::i32:
      reinterpret_cast<int32_t*>(t.data())[i] = static_cast<int32_t>(value);
      return;
    case DType::u8:
      reinterpret_cast<uint8_t*>(t.data())[i] = static_cast<uint8_t>(value);
      return;
    case DType::u16:
      reinterpret_cast<uint16_t*>(t.data())[i] = static_cast<uint16_t>(value);
      return;
    case DType::bf16:
      reinterpret_cast<Bf16*>(t.data())[i] = nearest_bf16(static_cast<float>(value));
      return;
  }
}

}  // namespace sfr::test
