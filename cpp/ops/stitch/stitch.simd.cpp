#include "ops/stitch/stitch.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

/// One register of bytes, in memory at any address.
typedef char bytes_unaligned __attribute__((vector_size(SFR_VECTOR_BYTES), aligned(1), may_alias));

SFR_INLINE void copy_vector(char* to, const char* from) {
  *reinterpret_cast<bytes_unaligned*>(to) = *reinterpret_cast<const bytes_unaligned*>(from);
}

SFR_INLINE void copy_piece(char* to, const char* from, int64_t bytes) {
  if (bytes < SFR_VECTOR_BYTES) {
    for (int64_t i = 0; i < bytes; ++i) to[i] = from[i];
    return;
  }
  const int64_t last = bytes - SFR_VECTOR_BYTES;  // may overlap the vector before it
  for (int64_t i = 0; i < last; i += SFR_VECTOR_BYTES) copy_vector(to + i, from + i);
  copy_vector(to + last, from + last);
}

SFR_INLINE void prefetch(const char* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

}  // namespace

void copy_pieces(const PieceCopy& c) {
  char* to = c.to;
  const char* from = c.from;
  for (int64_t k = 0; k < c.count; ++k, to += c.to_step, from += c.from_step) {
    prefetch(c.to_ahead > 0 ? to + c.to_ahead : from + c.from_ahead, c.bytes);
    copy_piece(to, from, c.bytes);
  }
}

void fill_line(char* line, int64_t bytes, uint32_t pattern) {
  const vi wide = broadcast_int(static_cast<int32_t>(pattern));
  const char* repeated = reinterpret_cast<const char*>(&wide);
  int64_t i = 0;
  for (; i + SFR_VECTOR_BYTES <= bytes; i += SFR_VECTOR_BYTES) copy_vector(line + i, repeated);
  for (; i < bytes; ++i) line[i] = repeated[i % 4];
}

}  // namespace sfr::SFR_LEVEL
