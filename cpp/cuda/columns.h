// Sums over the rows of a matrix [rows][columns], in double and in a fixed order: each block sums a chunk of
// the rows, and whoever reads the partial sums adds them chunk by chunk (column_sums.h).
#pragma once
#include <cstdint>

namespace sfr {

/// A job of partial column sums; `partial` is [chunks][sums][columns].
struct ColumnSums {
  double* partial = nullptr;
  int64_t rows = 0, columns = 0;
  int32_t chunks = 1, sums = 1;
};

}  // namespace sfr
