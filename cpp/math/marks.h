// Marked elements of a volume, a bit each.
#pragma once
#include <array>
#include <cstdint>

#include "core/carver.h"
#include "core/chunks.h"
#include "core/thread_pool.h"
#include "math/levels.h"

namespace sfr {

/// Extents of a volume: z, y, x.
using Extents = std::array<int64_t, 3>;

/// Element x of row i = z * height + y is bit x % 64 of word x / 64 of the row; bits beyond the row are 0.
struct Marks {
  int64_t depth, height, width;
  int64_t row_words;
  uint64_t* words;  // [depth][height][row_words]
  int64_t* starts;  // [depth * height + 1]: marks in the rows before; at the end the number of all marks
};

/// Memory for the marks of a volume, not filled yet.
inline Marks carve_marks(Carver& carver, const Extents& extents) {
  const int64_t rows = extents[0] * extents[1], row_words = (extents[2] + 63) / 64;
  return {extents[0],
          extents[1],
          extents[2],
          row_words,
          carver.take<uint64_t>(rows * row_words),
          carver.take<int64_t>(rows + 1)};
}

/// Calls visit(i) for all rows, in parallel.
template <class F>
void over_rows(ThreadPool& pool, const Marks& marks, F visit) {
  const int64_t rows = marks.depth * marks.height;
  const int64_t chunks = chunk_count(rows, kElementGrain / marks.width + 1);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) visit(i);
  });
}

/// Fills all marks: mark_row(i, words) writes those of row i and returns their number.
template <class F>
void mark_rows(ThreadPool& pool, const Marks& marks, F mark_row) {
  over_rows(pool, marks,
            [&](int64_t i) { marks.starts[i + 1] = mark_row(i, marks.words + i * marks.row_words); });
  marks.starts[0] = 0;
  for (int64_t i = 0; i < marks.depth * marks.height; ++i) marks.starts[i + 1] += marks.starts[i];
}

/// Calls visit(x) for each mark of row i, in order.
template <class F>
void over_marks(const Marks& marks, int64_t i, F visit) {
  const uint64_t* row = marks.words + i * marks.row_words;
  for (int64_t word = 0; word < marks.row_words; ++word)
    for (uint64_t bits = row[word]; bits != 0; bits &= bits - 1) visit(64 * word + __builtin_ctzll(bits));
}

// Marks the elements of a row that equal `value`; returns their number.
SFR_DECLARE_LEVELS(int64_t mark_equal(const uint8_t* row, int64_t width, uint8_t value, uint64_t* words))

}  // namespace sfr
