#include "math/distance_transform.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/chunks.h"

namespace sfr {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kLines = 8;  // lines worked on together: their doubles fill a cache line at every step

/// Work memory of one thread for lines of one length.
struct LineWork {
  double* values;  // [length][kLines]
  double* starts;  // where each parabola of the envelope takes over
  int64_t* sites;  // whose parabola it is
  static int64_t bytes(int64_t length) { return length * (kLines + 2) * 8; }
};

/// Along x, in place: steps to the nearest site of the row, times the spacing, squared.
void row_distances(double* row, int64_t count, double spacing) {
  double steps = kInfinity;
  for (int64_t i = 0; i < count; ++i) {
    steps = row[i] == 0 ? 0 : steps + 1;
    row[i] = steps;
  }
  double back = kInfinity;
  for (int64_t i = count - 1; i >= 0; --i) {
    back = row[i] == 0 ? 0 : back + 1;
    const double distance = std::min(row[i], back) * spacing;
    row[i] = distance * distance;
  }
}

/// One line: out[q] = min over p of (spacing (q - p))^2 + f[p], by the lower envelope of the parabolas.
void envelope_line(double* f, int64_t stride, int64_t length, double spacing, const LineWork& work,
                   double* out, int64_t out_stride) {
  const double unit = spacing * spacing;
  int64_t count = 0;
  for (int64_t q = 0; q < length; ++q) {
    const double height = f[q * stride];
    if (height == kInfinity) continue;
    double start = -kInfinity;
    while (count > 0) {
      const int64_t p = work.sites[count - 1];
      start = (height - f[p * stride]) / (2 * unit * static_cast<double>(q - p)) +
              0.5 * static_cast<double>(q + p);
      if (start > work.starts[count - 1]) break;
      --count;
      start = -kInfinity;
    }
    work.sites[count] = q;
    work.starts[count++] = start;
  }
  int64_t k = 0;
  for (int64_t q = 0; q < length; ++q) {
    while (k + 1 < count && work.starts[k + 1] < static_cast<double>(q)) ++k;
    const double step = count == 0 ? 0 : static_cast<double>(q - work.sites[k]);
    out[q * out_stride] = count == 0 ? kInfinity : step * step * unit + f[work.sites[k] * stride];
  }
}

/// Envelopes along `lines` neighbouring lines (at most kLines) in place, from `grid` on.
void envelope_lines(double* grid, int64_t pitch, int64_t lines, int64_t length, double spacing,
                    const LineWork& work) {
  for (int64_t q = 0; q < length; ++q)
    std::memcpy(work.values + q * kLines, grid + q * pitch, static_cast<size_t>(lines) * sizeof(double));
  for (int64_t line = 0; line < lines; ++line)
    envelope_line(work.values + line, kLines, length, spacing, work, grid + line, pitch);
}

template <class F>
void over(ThreadPool& pool, int64_t items, int64_t elements_each, F body) {
  const int64_t chunks = chunk_count(items, kElementGrain / elements_each + 1);
  pool.parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(items, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) body(i, thread);
  });
}

}  // namespace

size_t distance_work_bytes(int64_t longest, int threads) {
  return static_cast<size_t>(threads * LineWork::bytes(longest));
}

void squared_distances(ThreadPool& pool, double* grid, const std::array<int64_t, 3>& extents,
                       const std::array<double, 3>& spacing, void* work) {
  const int64_t depth = extents[0], height = extents[1], width = extents[2];
  const int64_t longest = std::max({depth, height, width}), groups = (width + kLines - 1) / kLines;
  const auto line_work = [=](int thread) {
    auto* values =
        reinterpret_cast<double*>(static_cast<std::byte*>(work) + thread * LineWork::bytes(longest));
    return LineWork{values, values + longest * kLines,
                    reinterpret_cast<int64_t*>(values + longest * (kLines + 1))};
  };
  over(pool, depth * height, width,
       [&](int64_t i, int) { row_distances(grid + i * width, width, spacing[0]); });
  over(pool, depth * groups, height * kLines, [&](int64_t i, int thread) {
    const int64_t x = i % groups * kLines;
    envelope_lines(grid + i / groups * height * width + x, width, std::min(kLines, width - x), height,
                   spacing[1], line_work(thread));
  });
  over(pool, height * groups, depth * kLines, [&](int64_t i, int thread) {
    const int64_t x = i % groups * kLines;
    envelope_lines(grid + i / groups * width + x, height * width, std::min(kLines, width - x), depth,
                   spacing[2], line_work(thread));
  });
}

}  // namespace sfr
