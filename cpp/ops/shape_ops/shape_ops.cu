#include "cuda/bf16.h"
#include "ops/shape_ops/shape_ops.h"

namespace sfr::cuda {

SFR_KERNEL(copy_rows_of_elements, CopyRowsArgs) {
  over_elements(args.rows * args.width, [&](int64_t i) {
    const int64_t row = i / args.width, within = i % args.width;
    args.y[row * args.y_pitch + within] = args.x.data != nullptr ? args.x[row * args.x_pitch + within] : 0.0f;
  });
}

SFR_KERNEL(copy_rows_of_bytes, CopyRowsArgs) {
  const auto* x = static_cast<const uint8_t*>(args.x.data);
  auto* y = static_cast<uint8_t*>(args.y.data);
  over_elements(args.rows * args.width, [&](int64_t i) {
    const int64_t row = i / args.width, within = i % args.width;
    y[row * args.y_pitch + within] = x != nullptr ? x[row * args.x_pitch + within] : uint8_t{0};
  });
}

}  // namespace sfr::cuda
