// SIMD levels: each `*.simd.cpp` is compiled once per level into namespace sfr::<level>; callers pick a copy
// here.
//
// Only ordinary sources may use SFR_DISPATCH; the level sources merely see their own declarations.
#pragma once

namespace sfr {

/// Instruction sets a kernel exists for: x86-64-v2 (SSE4.2), v3 (AVX2 + FMA), v4 (AVX-512), or the plain
/// target. v4_bf16 is v4 with products of bf16 pairs (avx512_bf16), for the sources that use them.
enum class SimdLevel { generic = 0, v2 = 2, v3 = 3, v4 = 4, v4_bf16 = 5 };
inline constexpr SimdLevel kSimdLevels[] = {SimdLevel::generic, SimdLevel::v2, SimdLevel::v3, SimdLevel::v4,
                                            SimdLevel::v4_bf16};

/// The level in use: the best one this CPU supports unless set_simd_level() chose another.
SimdLevel simd_level();

/// The best level this CPU supports.
SimdLevel best_simd_level();

/// Forces a level for the whole process. Returns false and changes nothing when the CPU or build lacks it.
/// Not to be called while kernels run; data packed for one level is meaningless to another.
bool set_simd_level(SimdLevel level);

/// "generic", "v2", "v3", "v4" or "v4-bf16".
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
  (::sfr::simd_level() >= ::sfr::SimdLevel::v4   ? &::sfr::v4::name \
   : ::sfr::simd_level() == ::sfr::SimdLevel::v3 ? &::sfr::v3::name \
   : ::sfr::simd_level() == ::sfr::SimdLevel::v2 ? &::sfr::v2::name \
                                                 : &::sfr::generic::name)

/// The same for functions of sources that are compiled for v4_bf16 too.
#if defined(SFR_HAS_V4_BF16)
#define SFR_DECLARE_BF16_LEVELS(...) \
  SFR_DECLARE_LEVELS(__VA_ARGS__)    \
  namespace v4_bf16 {                \
  __VA_ARGS__;                       \
  }
#define SFR_DISPATCH_BF16(name) \
  (::sfr::simd_level() == ::sfr::SimdLevel::v4_bf16 ? &::sfr::v4_bf16::name : SFR_DISPATCH(name))
#endif

#else

#define SFR_DECLARE_LEVELS(...) \
  namespace generic {           \
  __VA_ARGS__;                  \
  }

#define SFR_DISPATCH(name) (&::sfr::generic::name)

#endif

#if !defined(SFR_HAS_V4_BF16)
#define SFR_DECLARE_BF16_LEVELS(...) SFR_DECLARE_LEVELS(__VA_ARGS__)
#define SFR_DISPATCH_BF16(name) SFR_DISPATCH(name)
#endif
