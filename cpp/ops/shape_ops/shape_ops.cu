#include "cuda/kernel.h"
#include "ops/shape_ops/shape_ops.h"

namespace sfr::cuda {

template <class Unit>
SFR_DEVICE void copy_rows(const CopyRowsArgs& args) {
  const auto* x = static_cast<const Unit*>(args.x);
  auto* y = static_cast<Unit*>(args.y);
  over_elements(args.rows * args.width, [&](int64_t i) {
    const int64_t row = i / args.width, within = i % args.width;
    y[row * args.y_pitch + within] = x != nullptr ? x[row * args.x_pitch + within] : Unit{0};
  });
}

SFR_KERNEL(copy_rows_of_words, CopyRowsArgs) {
  copy_rows<uint32_t>(args);
}

SFR_KERNEL(copy_rows_of_bytes, CopyRowsArgs) {
  copy_rows<uint8_t>(args);
}

}  // namespace sfr::cuda
