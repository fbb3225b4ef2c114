// SIMD levels: each `*.simd.cpp` is compiled once per level into namespace sfr::<level>; callers pick a copy
// here.
//
// Only ordinary sources may use SFR_DISPATCH; the level sources merely see their own declarations.
#pragma once

namespace sfr {

/// Instruction sets a kernel exists for: x86-64-v2 (SSE4.2), v3 (AVX2 + FMA), v4 (AVX-512), or the plain
/// target.
enum class SimdLevel { generic = 0, v2 = 2, v3 = 3, v4 = 4 };

/// The level in use: the best one this CPU supports unless set_simd_level() chose another.
SimdLevel simd_level();

/// The best level this CPU supports.
SimdLevel best_simd_level();

/// Forces a level for the whole process. Returns false and changes nothing when the CPU or build lacks it.
/// Not to be called while kernels run; data packed for one level is meaningless to another.
bool set_simd_level(SimdLevel level);

/// "generic", "v2", "v3" or "v4".
const char* simd_level_name(SimdLevel level);

}  // namespace sfr

#if defined(__x86_64__)

/// Declares a function in every level's namespace; stands inside namespace sfr.
#define SFR_DECLARE_LEVELS(...) \
  namespace generic {           \
  __VA_ARGS__;                  \
  }                             \
  namespace v2 {                \
  __VA_ARGS__;                  \
  }                             \
  namespace v3 {                \
  __VA_ARGS__;                  \
  }                             \
  namespace v4 {                \
  __VA_ARGS__;                  \
  }

/// Pointer to the current level's copy of a function declared with SFR_DECLARE_LEVELS.
#define SFR_DISPATCH(name)                                          \
  (::sfr::simd_level() == ::sfr::SimdLevel::v4   ? &::sfr::v4::name \
   : ::sfr::simd_level() == ::sfr::SimdLevel::v3 ? &::sfr::v3::name \
   : ::sfr::simd_level() == ::sfr::SimdLevel::v2 ? &::sfr::v2::name \
                                                 : &::sfr::generic::name)

#else

#define SFR_DECLARE_LEVELS(...) \
  namespace generic {           \
  __VA_ARGS__;                  \
  }

#define SFR_DISPATCH(name) (&::sfr::generic::name)

#endif
