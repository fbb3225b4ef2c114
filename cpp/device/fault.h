// Bad input that a kernel meets. A step on a device cannot stop in the middle; it says where, and kernels
// that write state leave it as it was.
#pragma once
#include <cstdint>

namespace sfr {

/// The smallest code that any kernel of the step found, or kNoFault.
struct DeviceFault {
  unsigned long long code;
};

inline constexpr unsigned long long kNoFault = ~0ull;
inline constexpr int kFaultPositionBits = 40;

/// Node and position in one word, ordered by node first.
inline constexpr unsigned long long fault_code(int32_t node, int64_t position) {
  return static_cast<unsigned long long>(node) << kFaultPositionBits |
         static_cast<unsigned long long>(position);
}

}  // namespace sfr
