// Vectors of floats and the small maths on them, for `*.simd.cpp` sources only.
//
// Everything is static inline in the level's own namespace: no symbol leaves the object file, so the linker
// can never hand one level's code to another. GCC/Clang vector extensions; intrinsics only for masked access.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/bf16.h"

#if defined(__AVX512F__)
#define SFR_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define SFR_VECTOR_BYTES 32
#else
#define SFR_VECTOR_BYTES 16
#endif

/// Vector registers that a tile may count on.
#if defined(__AVX512F__) || defined(__aarch64__)
#define SFR_REGISTERS 32
#else
#define SFR_REGISTERS 16
#endif

#define SFR_INLINE static inline __attribute__((always_inline, unused))

namespace sfr::SFR_LEVEL {

/// Floats per vector: 16 (v4), 8 (v3), 4 (v2, generic).
constexpr int kLanes = SFR_VECTOR_BYTES / 4;

/// One register of floats / of 32-bit integers.
typedef float vf __attribute__((vector_size(SFR_VECTOR_BYTES)));
typedef int32_t vi __attribute__((vector_size(SFR_VECTOR_BYTES)));
/// The same in memory: any float's address will do.
typedef float vf_unaligned __attribute__((vector_size(SFR_VECTOR_BYTES), aligned(4), may_alias));
/// Unsigned 32-bit integers, which may overflow, and as many of 16 bits.
typedef uint32_t vu __attribute__((vector_size(SFR_VECTOR_BYTES)));
typedef uint16_t vh __attribute__((vector_size(SFR_VECTOR_BYTES / 2)));
typedef uint16_t vh_unaligned __attribute__((vector_size(SFR_VECTOR_BYTES / 2), aligned(2), may_alias));
typedef float v4f __attribute__((vector_size(16)));
typedef float v4f_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

SFR_INLINE vf zero() {
  return vf{};
}
SFR_INLINE vf load(const float* p) {
  return *reinterpret_cast<const vf_unaligned*>(p);
}
SFR_INLINE void store(float* p, vf v) {
  *reinterpret_cast<vf_unaligned*>(p) = v;
}

SFR_INLINE vf broadcast(float s) {
#if SFR_VECTOR_BYTES == 64
  return vf{s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s};
#elif SFR_VECTOR_BYTES == 32
  return vf{s, s, s, s, s, s, s, s};
#else
  return vf{s, s, s, s};
#endif
}

SFR_INLINE vi broadcast_int(int32_t s) {
  vi v;
  for (int i = 0; i < kLanes; ++i) v[i] = s;
  return v;
}

SFR_INLINE vi as_int(vf v) {
  return reinterpret_cast<vi>(v);
}
SFR_INLINE vf as_float(vi v) {
  return reinterpret_cast<vf>(v);
}

#if SFR_VECTOR_BYTES == 32
/// Lanes below n set; n in [0, 8].
SFR_INLINE __m256i lane_mask(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

/// Loads n lanes (0 <= n <= kLanes) and zeros the others; no byte beyond them is read.
SFR_INLINE vf load_partial(const float* p, int n) {
#if SFR_VECTOR_BYTES == 64
  return reinterpret_cast<vf>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p));
#elif SFR_VECTOR_BYTES == 32
  return reinterpret_cast<vf>(_mm256_maskload_ps(p, lane_mask(n)));
#else
  vf v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}

/// Stores n lanes (0 <= n <= kLanes); no byte beyond them is touched.
SFR_INLINE void store_partial(float* p, vf v, int n) {
#if SFR_VECTOR_BYTES == 64
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), reinterpret_cast<__m512>(v));
#elif SFR_VECTOR_BYTES == 32
  _mm256_maskstore_ps(p, lane_mask(n), reinterpret_cast<__m256>(v));
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}

/// Stores past the caches, for results that are larger than them: the line is not read first. `p` must be
/// aligned to the vector; stream_fence() must follow before another thread may read.
SFR_INLINE void stream(float* p, vf v) {
#if SFR_VECTOR_BYTES == 64
  _mm512_stream_ps(p, reinterpret_cast<__m512>(v));
#elif SFR_VECTOR_BYTES == 32
  _mm256_stream_ps(p, reinterpret_cast<__m256>(v));
#else
  store(p, v);
#endif
}
SFR_INLINE void stream_fence() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

/// The nearest bf16, the even one of two, as f32: 16 zeros below. NaN stays NaN.
SFR_INLINE vf round_to_bf16(vf x) {
  const vu bits = reinterpret_cast<vu>(x);
  const vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  return x == x ? reinterpret_cast<vf>(rounded) : broadcast(__builtin_nanf(""));
}
SFR_INLINE vf load_bf16(const Bf16* p) {
  const vh bits = *reinterpret_cast<const vh_unaligned*>(p);
  return reinterpret_cast<vf>(__builtin_convertvector(bits, vu) << 16);
}
SFR_INLINE void store_bf16(Bf16* p, vf v) {
  const vu bits = reinterpret_cast<vu>(round_to_bf16(v)) >> 16;
  *reinterpret_cast<vh_unaligned*>(p) = __builtin_convertvector(bits, vh);
}

SFR_INLINE vf vmin(vf a, vf b) {
  return a < b ? a : b;
}
SFR_INLINE vf vmax(vf a, vf b) {
  return a > b ? a : b;
}
/// Whether any lane of a comparison holds.
SFR_INLINE bool any(vi holds) {
#if SFR_VECTOR_BYTES == 64
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(holds), reinterpret_cast<__m512i>(holds)) != 0;
#elif SFR_VECTOR_BYTES == 32
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(holds)) != 0;
#else
  int32_t all = 0;
  for (int i = 0; i < kLanes; ++i) all |= holds[i];
  return all != 0;
#endif
}
SFR_INLINE vf vabs(vf a) {
  return as_float(as_int(a) & 0x7fffffff);
}

/// Sum of all lanes by halves: the same order at every call of a level.
SFR_INLINE float horizontal_sum(vf v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

/// Largest lane (NaN lanes give no promise).
SFR_INLINE float horizontal_max(vf v) {
  float lanes[kLanes];
  store(lanes, v);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  }
  return lanes[0];
}

/// e^x, within 1.1 ulp over the whole range; 0 below -104 (so for -inf), inf above 89, NaN for NaN.
/// x = n ln 2 + r with |r| <= ln 2 / 2, Taylor polynomial of degree 7 in r, scaling by 2^n in two halves so
/// that results that are denormal or near the largest float come out right.
SFR_INLINE vf vexp(vf x) {
  const vf lowest = broadcast(-104.0f), highest = broadcast(89.0f);
  vf clamped = x < lowest ? lowest : x;
  clamped = clamped > highest ? highest : clamped;
  const vf magic =
      broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
  const vf shifted = clamped * 1.44269504f + magic;
  const vi n = as_int(shifted) - as_int(magic);
  const vf steps = shifted - magic;
  vf r = clamped - steps * 0.693359375f;
  r = r + steps * 2.12194440e-4f;
  vf p = r * (1.0f / 5040) + (1.0f / 720);
  p = p * r + (1.0f / 120);
  p = p * r + (1.0f / 24);
  p = p * r + (1.0f / 6);
  p = p * r + 0.5f;
  p = (p * r) * r + r + 1.0f;
  const vi half = n >> 1;
  return p * as_float((half + 127) << 23) * as_float((n - half + 127) << 23);
}

/// ln(x), relative error below 3e-7; -inf for 0, NaN below 0 and for NaN, inf for inf.
/// x = 2^e m with m in [0.70, 1.42), ln m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| < 0.172, series to
/// s^9.
SFR_INLINE vf vlog(vf x) {
  const vi denormal = x < 1.17549435e-38f;
  const vf scaled = denormal ? x * 8388608.0f : x;
  const vi e = (as_int(scaled) - 0x3f3504f3) >> 23;
  const vf f = as_float(as_int(scaled) - (e << 23)) - 1.0f;
  const vf s = f / (f + 2.0f), z = s * s;
  const vf series = (((z * (2.0f / 9) + 2.0f / 7) * z + 2.0f / 5) * z + 2.0f / 3) * z;
  const vf steps = __builtin_convertvector(e, vf) - (denormal ? broadcast(23.0f) : zero());
  vf y = steps * 0.693359375f + (steps * -2.12194440e-4f + s * series + 2.0f * s);
  y = x > 3.40282347e38f ? x : y;
  y = x > 0.0f ? y : broadcast(__builtin_nanf(""));
  return x == 0.0f ? broadcast(-__builtin_inff()) : y;
}

/// erf(x) within 3 ulp: x P(x^2) below 1, 1 - exp(Q(|x|)) from 1 to 4, then +-1; NaN for NaN. P and Q are our
/// own Chebyshev fits (degree 6 of erf(sqrt s)/sqrt s, degree 6 of log erfc), off by 2e-9 at most.
SFR_INLINE vf verf(vf x) {
  const vf s = x * x, a = vabs(x);
  vf p = s * 7.882497e-05f - 8.0188555e-04f;
  p = p * s + 5.1893122e-03f;
  p = p * s - 2.6854328e-02f;
  p = p * s + 1.1283597e-01f;
  p = p * s - 3.7612626e-01f;
  p = (p * s + 1.1283791f) * x;
  const vf t = a > 4.0f ? broadcast(4.0f) : a;
  vf q = t * 1.8655171e-04f - 2.9489459e-03f;
  q = q * t + 2.1841707e-02f;
  q = q * t - 1.0311145e-01f;
  q = q * t - 6.3814247e-01f;
  q = q * t - 1.1270889f;
  q = q * t - 3.4196235e-04f;
  const vf tail = 1.0f - vexp(q);
  return a < 1.0f ? p : x < 0.0f ? -tail : tail;
}

/// GELU with erf: x * Phi(x), as torch.nn.GELU().
SFR_INLINE vf vgelu(vf x) {
  return 0.5f * x * (1.0f + verf(x * 0.70710678f));
}

/// d gelu(x) / dx = Phi(x) + x * phi(x).
SFR_INLINE vf vgelu_gradient(vf x) {
  return 0.5f * (1.0f + verf(x * 0.70710678f)) + x * 0.39894228f * vexp(-0.5f * x * x);
}

#if SFR_VECTOR_BYTES == 64
/// The transpose of `rows` (at most 16) x 4 elements of src: 4 rows of `rows` elements of dst. Lane j of a
/// register takes 4 elements of row 4 j + i, so that a 4 x 4 transpose of all lanes at once gives whole
/// columns.
SFR_INLINE void transpose_columns(float* dst, ptrdiff_t dst_pitch, const float* src, ptrdiff_t src_pitch,
                                  int rows) {
  vf v[4];
  for (int i = 0; i < 4; ++i) {
    const auto row = [&](int r) { return _mm_loadu_ps(src + (r < rows ? r : rows - 1) * src_pitch); };
    __m512 lanes = _mm512_castps128_ps512(row(i));
    lanes = _mm512_insertf32x4(lanes, row(4 + i), 1);
    lanes = _mm512_insertf32x4(lanes, row(8 + i), 2);
    lanes = _mm512_insertf32x4(lanes, row(12 + i), 3);
    v[i] = reinterpret_cast<vf>(lanes);
  }
#define SFR_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define SFR_HIGH(a, b) \
  __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define SFR_FIRST(a, b) \
  __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define SFR_SECOND(a, b) \
  __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
  const vf b0 = SFR_LOW(v[0], v[1]), b1 = SFR_HIGH(v[0], v[1]);
  const vf b2 = SFR_LOW(v[2], v[3]), b3 = SFR_HIGH(v[2], v[3]);
  store_partial(dst, SFR_FIRST(b0, b2), rows);
  store_partial(dst + dst_pitch, SFR_SECOND(b0, b2), rows);
  store_partial(dst + 2 * dst_pitch, SFR_FIRST(b1, b3), rows);
  store_partial(dst + 3 * dst_pitch, SFR_SECOND(b1, b3), rows);
#undef SFR_LOW
#undef SFR_HIGH
#undef SFR_FIRST
#undef SFR_SECOND
}
#endif

/// Transposes src[rows][cols] (row pitch src_pitch) into dst[cols][rows] (row pitch dst_pitch), pitches in
/// floats.
SFR_INLINE void transpose(float* dst, ptrdiff_t dst_pitch, const float* src, ptrdiff_t src_pitch,
                          int64_t rows, int64_t cols) {
  int64_t r = 0;
#if SFR_VECTOR_BYTES == 64
  for (; rows - r > 4; r += kLanes) {
    const int count = rows - r < kLanes ? static_cast<int>(rows - r) : kLanes;
    const float* s = src + r * src_pitch;
    int64_t c = 0;
    for (; c + 4 <= cols; c += 4)
      transpose_columns(dst + c * dst_pitch + r, dst_pitch, s + c, src_pitch, count);
    for (; c < cols; ++c) {
      for (int i = 0; i < count; ++i) dst[c * dst_pitch + r + i] = s[i * src_pitch + c];
    }
  }
#endif
  for (; r + 4 <= rows; r += 4) {
    const float* s = src + r * src_pitch;
    int64_t c = 0;
    for (; c + 4 <= cols; c += 4) {
      const v4f a0 = *reinterpret_cast<const v4f_unaligned*>(s + c);
      const v4f a1 = *reinterpret_cast<const v4f_unaligned*>(s + src_pitch + c);
      const v4f a2 = *reinterpret_cast<const v4f_unaligned*>(s + 2 * src_pitch + c);
      const v4f a3 = *reinterpret_cast<const v4f_unaligned*>(s + 3 * src_pitch + c);
      const v4f b0 = __builtin_shufflevector(a0, a1, 0, 4, 1, 5),
                b1 = __builtin_shufflevector(a0, a1, 2, 6, 3, 7);
      const v4f b2 = __builtin_shufflevector(a2, a3, 0, 4, 1, 5),
                b3 = __builtin_shufflevector(a2, a3, 2, 6, 3, 7);
      float* d = dst + c * dst_pitch + r;
      *reinterpret_cast<v4f_unaligned*>(d) = __builtin_shufflevector(b0, b2, 0, 1, 4, 5);
      *reinterpret_cast<v4f_unaligned*>(d + dst_pitch) = __builtin_shufflevector(b0, b2, 2, 3, 6, 7);
      *reinterpret_cast<v4f_unaligned*>(d + 2 * dst_pitch) = __builtin_shufflevector(b1, b3, 0, 1, 4, 5);
      *reinterpret_cast<v4f_unaligned*>(d + 3 * dst_pitch) = __builtin_shufflevector(b1, b3, 2, 3, 6, 7);
    }
    for (; c < cols; ++c) {
      for (int i = 0; i < 4; ++i) dst[c * dst_pitch + r + i] = s[i * src_pitch + c];
    }
  }
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) dst[c * dst_pitch + r] = src[r * src_pitch + c];
  }
}

}  // namespace sfr::SFR_LEVEL
