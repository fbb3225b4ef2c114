// Element types of tensors. The names cross the border as they stand here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/error.h"

namespace sfr {

enum class DType : uint8_t { f32, f64, i32, u8, u16, bf16 };

inline constexpr int kDTypeCount = 6;
inline constexpr const char* kDTypeNames[] = {"f32", "f64", "i32", "u8", "u16", "bf16"};
inline constexpr size_t kDTypeBytes[] = {4, 8, 4, 1, 2, 2};
static_assert(sizeof(kDTypeNames) / sizeof(kDTypeNames[0]) == kDTypeCount);
static_assert(sizeof(kDTypeBytes) / sizeof(kDTypeBytes[0]) == kDTypeCount);

inline const char* dtype_name(DType dtype) {
  return kDTypeNames[static_cast<int>(dtype)];
}
inline size_t dtype_bytes(DType dtype) {
  return kDTypeBytes[static_cast<int>(dtype)];
}

inline DType dtype_from_name(const std::string& name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (name == kDTypeNames[i]) return static_cast<DType>(i);
  throw Error(ErrorCode::dtype, "dtype: expected one of f32, f64, i32, u8, u16, bf16, received " + name);
}

}  // namespace sfr
