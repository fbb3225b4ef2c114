#include "math/nearest_marks.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

const float kInfinity = __builtin_inff();

/// Bit i of `bits` in all bits of lane i.
SFR_INLINE vi lanes_of(uint32_t bits) {
  vi place;
  for (int i = 0; i < kLanes; ++i) place[i] = 1 << i;
  return (broadcast_int(static_cast<int32_t>(bits)) & place) != 0;
}

/// kLanes columns of a search, from (y, x) on.
struct Columns {
  const ColumnSearch& s;
  int64_t y, x;
};

/// Marks of `from` at height z, a bit each.
SFR_INLINE uint32_t marks_at(const Columns& c, int64_t z) {
  const Marks& from = *c.s.from;
  const uint64_t word = from.words[(z * from.height + c.y) * from.row_words + c.x / 64];
  return static_cast<uint32_t>(word >> c.x % 64) & ((1u << kLanes) - 1u);
}

/// The lesser of `best` and what row i has to offer from `square` away.
SFR_INLINE vf lesser_in_row(const Columns& c, int64_t i, float square, vf best) {
  const int64_t* starts = c.s.to->starts + i;
  return starts[0] == starts[1] ? best : vmin(load(c.s.squares + i * c.s.pitch + c.x) + square, best);
}

/// Squared distance to the nearest mark of plane z, in the lanes that are needed.
SFR_INLINE vf least_in_plane(const Columns& c, int64_t z, vi needed) {
  const int64_t height = c.s.to->height, first = z * height;
  const vf far = broadcast(kInfinity);
  if (c.s.to->starts[first] == c.s.to->starts[first + height]) return far;
  vf best = needed ? far : zero();
  for (int64_t step = 0; step <= c.y || step < height - c.y; ++step) {
    const float distance = c.s.spacing_y * static_cast<float>(step), square = distance * distance;
    if (!any(best > square)) break;
    if (step <= c.y) best = lesser_in_row(c, first + c.y - step, square, best);
    if (step < height - c.y) best = lesser_in_row(c, first + c.y + step, square, best);
  }
  return best;
}

/// What least_in_plane says, kept in planes [z][kLanes], which begins with -1 where nobody has asked yet.
SFR_INLINE vf least_kept(const Columns& c, int64_t z, vi needed, float* planes) {
  float* plane = planes + z * kLanes;
  if (*plane < 0) store(plane, least_in_plane(c, z, needed));
  return load(plane);
}

/// Writes the roots of the marked lanes of height z.
SFR_INLINE void write_roots(const Columns& c, int64_t z, uint32_t marks, vf squares) {
  const Marks& from = *c.s.from;
  const int64_t row = z * from.height + c.y;
  const uint64_t* words = from.words + row * from.row_words;
  int64_t at = from.starts[row];
  for (int64_t word = 0; word < c.x / 64; ++word) at += __builtin_popcountll(words[word]);
  at += __builtin_popcountll(words[c.x / 64] & ((uint64_t{1} << c.x % 64) - 1));
  float lanes[kLanes];
  store(lanes, squares);
  for (; marks != 0; marks &= marks - 1) c.s.distances[at++] = __builtin_sqrtf(lanes[__builtin_ctz(marks)]);
}

SFR_INLINE void search_lanes(const Columns& c, float* planes) {
  const int64_t depth = c.s.from->depth;
  uint32_t all = 0;
  for (int64_t z = 0; z < depth; ++z) all |= marks_at(c, z);
  if (all == 0) return;
  const vi needed = lanes_of(all);
  for (int64_t z = 0; z < depth; ++z) planes[z * kLanes] = -1;
  for (int64_t z = 0; z < depth; ++z) {
    const uint32_t marks = marks_at(c, z);
    if (marks == 0) continue;
    vf best = lanes_of(marks) ? broadcast(kInfinity) : zero();
    for (int64_t step = 0; step <= z || step < depth - z; ++step) {
      const float distance = c.s.spacing_z * static_cast<float>(step), square = distance * distance;
      if (!any(best > square)) break;
      if (step <= z) best = vmin(least_kept(c, z - step, needed, planes) + square, best);
      if (step < depth - z) best = vmin(least_kept(c, z + step, needed, planes) + square, best);
    }
    write_roots(c, z, marks, best);
  }
}

}  // namespace

void search_columns(const ColumnSearch& search, int64_t y, int64_t x, float* planes) {
  for (int64_t i = 0; i < kColumnTile; i += kLanes) search_lanes({search, y, x + i}, planes);
}

}  // namespace sfr::SFR_LEVEL
