#include "math/marks.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

/// Bit i: byte i of 64 equals `value`.
SFR_INLINE uint64_t equal_bits(const uint8_t* p, uint8_t value) {
#if SFR_VECTOR_BYTES == 64
  return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(static_cast<char>(value)));
#elif SFR_VECTOR_BYTES == 32
  const __m256i wanted = _mm256_set1_epi8(static_cast<char>(value));
  uint64_t bits = 0;
  for (int i = 0; i < 64; i += 32) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i));
    bits |=
        static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, wanted))))
        << i;
  }
  return bits;
#else
  uint64_t bits = 0;
  for (int i = 0; i < 64; ++i) bits |= static_cast<uint64_t>(p[i] == value) << i;
  return bits;
#endif
}

}  // namespace

int64_t mark_equal(const uint8_t* row, int64_t width, uint8_t value, uint64_t* words) {
  int64_t count = 0;
  for (int64_t x = 0; x < width; x += 64) {
    uint8_t tail[64];
    const uint8_t* bytes = row + x;
    if (width - x < 64) {
      __builtin_memset(tail, static_cast<uint8_t>(~value), sizeof(tail));
      __builtin_memcpy(tail, bytes, static_cast<size_t>(width - x));
      bytes = tail;
    }
    words[x / 64] = equal_bits(bytes, value);
    count += __builtin_popcountll(words[x / 64]);
  }
  return count;
}

}  // namespace sfr::SFR_LEVEL
