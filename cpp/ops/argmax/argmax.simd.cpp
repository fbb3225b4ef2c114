#include "ops/argmax/argmax.h"

#include "ops/softmax/class_block.h"

namespace sfr::SFR_LEVEL {

namespace {

SFR_INLINE void argmax_blocks(const float* x, int64_t rows, int64_t classes, uint8_t* y) {
  float block[255 * kLanes];
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int live = rows - i < kLanes ? static_cast<int>(rows - i) : kLanes;
    load_classes(x + i * classes, classes, live, block);
    vf top = load(block);
    top = top == top ? top : broadcast(-__builtin_inff());
    vi best{};
    for (int64_t k = 1; k < classes; ++k) {
      const vf value = load(block + k * kLanes);
      const vi larger = value > top;
      top = larger ? value : top;
      best = larger ? broadcast_int(static_cast<int32_t>(k)) : best;
    }
    for (int lane = 0; lane < live; ++lane) y[i + lane] = static_cast<uint8_t>(best[lane]);
  }
}

}  // namespace

void argmax_rows(const float* x, int64_t rows, int64_t classes, uint8_t* y) {
  if (classes == 2) return argmax_blocks(x, rows, 2, y);
  argmax_blocks(x, rows, classes, y);
}

}  // namespace sfr::SFR_LEVEL
