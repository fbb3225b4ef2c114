// Memory-bound: one thread per element; sums as in cuda/column_sums.h.
#include "cuda/bf16.h"
#include "cuda/column_sums.h"
#include "ops/elementwise/elementwise.h"

namespace sfr::cuda {

SFR_KERNEL(binary_elements, BinaryArgs) {
  over_elements(args.count, [&](int64_t i) {
    const float a = args.a[i], b = args.b[args.inner == args.count ? i : i % args.inner];
    switch (args.op) {
      case BinaryOp::add:
        args.y[i] = a + b;
        return;
      case BinaryOp::subtract:
        args.y[i] = a - b;
        return;
      case BinaryOp::multiply:
        args.y[i] = a * b;
        return;
      case BinaryOp::divide:
        args.y[i] = a / b;
        return;
    }
  });
}

SFR_KERNEL(affine_elements, AffineArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.factor * args.x[i] + args.offset; });
}

/// y[i] = a[i % inner]
SFR_KERNEL(repeat_elements, BinaryArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.a[i % args.inner]; });
}

SFR_KERNEL(sum_chunks, SumArgs) {
  fill_column_sums<1>(args.sums, [&](int64_t row, int64_t column, double* own) {
    own[0] += static_cast<double>(args.x[row * args.sums.columns + column]);
  });
}

SFR_KERNEL(finish_sums, SumArgs) {
  over_elements(args.sums.columns,
                [&](int64_t j) { args.y[j] = static_cast<float>(column_sum(args.sums, 0, j)); });
}

}  // namespace sfr::cuda
