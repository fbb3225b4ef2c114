// Elements of tensors that kernels take in f32 or in bf16: a load widens, a store rounds to the nearest, and
// all between them is f32. Members of kernels' parameters; kernels alone read and write (cuda/bf16.h).
#pragma once
#include <cstdint>

#include "core/host_device.h"

#if defined(__CUDACC__)
#define SFR_KERNEL_MEMBER __device__
#else
#define SFR_KERNEL_MEMBER
#endif

namespace sfr {

SFR_HOST_DEVICE constexpr int64_t element_bytes(bool is_bf16, int64_t count) {
  return count * (is_bf16 ? 2 : 4);
}

/// To be read: `x[i]` is a float. `data` is null where an optional tensor is absent.
struct Elements {
  const void* data = nullptr;
  bool is_bf16 = false;

  SFR_KERNEL_MEMBER float operator[](int64_t i) const;
  /// From element i on.
  SFR_HOST_DEVICE Elements operator+(int64_t i) const {
    return {static_cast<const char*>(data) + element_bytes(is_bf16, i), is_bf16};
  }
};

/// To be written: `y[i] = value`.
struct Results {
  void* data = nullptr;
  bool is_bf16 = false;

  struct Element {
    void* data;
    int64_t i;
    bool is_bf16;
    SFR_KERNEL_MEMBER void operator=(float value) const;
  };
  SFR_KERNEL_MEMBER Element operator[](int64_t i) const;
  /// From element i on.
  SFR_HOST_DEVICE Results operator+(int64_t i) const {
    return {static_cast<char*>(data) + element_bytes(is_bf16, i), is_bf16};
  }
  /// What was written, to be read.
  SFR_HOST_DEVICE Elements elements() const { return {data, is_bf16}; }
};

}  // namespace sfr
