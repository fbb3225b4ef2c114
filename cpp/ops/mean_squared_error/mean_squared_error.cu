#include "cuda/bf16.h"
#include "cuda/column_sums.h"
#include "ops/mean_squared_error/mean_squared_error.h"

namespace sfr::cuda {

SFR_KERNEL(squared_error_chunks, SquaredErrorArgs) {
  fill_column_sums<1>(args.sums, [&](int64_t i, int64_t, double* own) {
    const double d = static_cast<double>(args.a[i] - args.b[i]);
    own[0] += d * d;
  });
}

SFR_KERNEL(finish_squared_error, SquaredErrorArgs) {
  over_elements(1, [&](int64_t) {
    const double count = static_cast<double>(args.count);
    args.y[0] = args.count > 0 ? static_cast<float>(column_sum(args.sums, 0, 0) / count) : 0.0f;
  });
}

SFR_KERNEL(squared_error_backward, SquaredErrorArgs) {
  over_elements(args.count, [&](int64_t i) {
    const float factor =
        static_cast<float>(2.0 * static_cast<double>(*args.dy) / static_cast<double>(args.count));
    args.y[i] = factor * (args.a[i] - args.b[i]);
  });
}

}  // namespace sfr::cuda
