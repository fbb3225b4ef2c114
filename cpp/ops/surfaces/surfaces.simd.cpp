#include "ops/surfaces/surfaces.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

int64_t border_row(const uint64_t* row, const uint64_t* const* around, int64_t words, uint64_t* border) {
  int64_t count = 0;
  uint64_t before = 0;
  for (int64_t i = 0; i < words; ++i) {
    const uint64_t here = row[i], behind = i + 1 < words ? row[i + 1] : 0;
    const uint64_t inside = (here << 1 | before >> 63) & (here >> 1 | behind << 63) & around[0][i] &
                            around[1][i] & around[2][i] & around[3][i];
    border[i] = here & ~inside;
    count += __builtin_popcountll(border[i]);
    before = here;
  }
  return count;
}

int64_t cell_row(const uint64_t* const* rows, int64_t words, int64_t cell_words, uint64_t* cells) {
  int64_t count = 0;
  uint64_t any_before = 0, all_before = 0;
  for (int64_t i = 0; i < cell_words; ++i) {
    uint64_t any_here = 0, all_here = 0;
    if (i < words) {
      any_here = rows[0][i] | rows[1][i] | rows[2][i] | rows[3][i];
      all_here = rows[0][i] & rows[1][i] & rows[2][i] & rows[3][i];
    }
    cells[i] =
        (any_here | any_here << 1 | any_before >> 63) & ~(all_here & (all_here << 1 | all_before >> 63));
    count += __builtin_popcountll(cells[i]);
    any_before = any_here;
    all_before = all_here;
  }
  return count;
}

}  // namespace sfr::SFR_LEVEL
