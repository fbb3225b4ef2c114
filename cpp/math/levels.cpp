#include "math/levels.h"

#include <atomic>

namespace sfr {

SimdLevel best_simd_level() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
  const bool v3 =
      v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
#if defined(SFR_HAS_V4_BF16)
  if (v4 && __builtin_cpu_supports("avx512bf16")) return SimdLevel::v4_bf16;
#endif
  return v4 ? SimdLevel::v4 : v3 ? SimdLevel::v3 : v2 ? SimdLevel::v2 : SimdLevel::generic;
#else
  return SimdLevel::generic;
#endif
}

static std::atomic<SimdLevel>& current_level() {
  static std::atomic<SimdLevel> level{best_simd_level()};
  return level;
}

SimdLevel simd_level() {
  return current_level().load(std::memory_order_relaxed);
}

bool set_simd_level(SimdLevel level) {
  if (static_cast<int>(level) > static_cast<int>(best_simd_level())) return false;
  current_level().store(level, std::memory_order_relaxed);
  return true;
}

const char* simd_level_name(SimdLevel level) {
  switch (level) {
    case SimdLevel::generic:
      return "generic";
    case SimdLevel::v2:
      return "v2";
    case SimdLevel::v3:
      return "v3";
    case SimdLevel::v4:
      return "v4";
    case SimdLevel::v4_bf16:
      return "v4-bf16";
  }
  return "generic";
}

}  // namespace sfr
