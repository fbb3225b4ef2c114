#include "math/nearest_marks.h"

#include <algorithm>

namespace sfr {

namespace {

int64_t pitch_of(int64_t width) {
  return (width + kColumnTile - 1) / kColumnTile * kColumnTile;
}

/// Squared distance of each element of row i to its nearest mark; `ramp` holds that of elements k steps away
/// at k.
void row_squares(const Marks& marks, int64_t i, const float* ramp, int64_t pitch, float* out) {
  int64_t begin = 0, last = -1;
  const auto fill_to = [&](int64_t end) {
    std::copy(ramp + begin - last, ramp + end - last, out + begin);
    begin = end;
  };
  over_marks(marks, i, [&](int64_t x) {
    if (last >= 0) fill_to((last + x) / 2 + 1);
    last = x;
  });
  if (last >= 0) fill_to(pitch);
}

}  // namespace

NearestWork::NearestWork(Carver& carver, const Extents& extents, int threads) {
  const int64_t pitch = pitch_of(extents[2]);
  squares = carver.take<float>(extents[0] * extents[1] * pitch);
  ramp = carver.take<float>(2 * pitch + 1);
  planes = carver.take<float>(threads * extents[0] * kColumnTile);
}

void nearest_distances(ThreadPool& pool, const Marks& from, const Marks& to,
                       const std::array<double, 3>& spacing, const NearestWork& work, float* distances) {
  const int64_t pitch = pitch_of(to.width);
  float* ramp = work.ramp + pitch;
  for (int64_t k = -pitch; k <= pitch; ++k) {
    const float distance = static_cast<float>(k) * static_cast<float>(spacing[0]);
    ramp[k] = distance * distance;
  }
  over_rows(pool, to, [&](int64_t i) { row_squares(to, i, ramp, pitch, work.squares + i * pitch); });

  const ColumnSearch search = {
      &from,    &to, work.squares, pitch, static_cast<float>(spacing[1]), static_cast<float>(spacing[2]),
      distances};
  const int64_t tiles = pitch / kColumnTile, columns = to.height * tiles;
  const int64_t chunks = chunk_count(columns, kElementGrain / (to.depth * kColumnTile) + 1);
  const auto search_tile = SFR_DISPATCH(search_columns);
  pool.parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(columns, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i)
      search_tile(search, i / tiles, i % tiles * kColumnTile, work.planes + thread * to.depth * kColumnTile);
  });
}

}  // namespace sfr
