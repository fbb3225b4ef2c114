// Memory-bound; rows are short (classes).
#include "cuda/kernel.h"
#include "ops/row_products/row_products.h"

namespace sfr::cuda {

SFR_KERNEL(dot_rows, RowProductArgs) {
  over_elements(args.rows, [&](int64_t row) {
    float sum = 0;
    for (int64_t k = row * args.channels; k < (row + 1) * args.channels; ++k) sum += args.a[k] * args.b[k];
    args.y[row] = sum;
  });
}

SFR_KERNEL(scale_rows, RowProductArgs) {
  over_elements(args.rows * args.channels,
                [&](int64_t i) { args.y[i] = args.a[i] * args.b[i / args.channels]; });
}

}  // namespace sfr::cuda
