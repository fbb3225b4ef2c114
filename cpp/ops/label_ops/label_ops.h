// one_hot: labels u8 [..] -> y f32 [.., classes]: 1 at the label's class, else 0; a row of zeros for 255
//   (ignored). Attribute classes, 1 to 255. Throws Error(data) on a label that is neither 255 nor below
//   classes.
// select_labels: a u8 [.., shape], b? u8 (as a), mask f32 [shape] (repeated over the leading axes)
//   -> y u8: a where mask is not 0, else b, or 255 (ignored) without b.
// Neither is differentiable.
#pragma once
#include <cstdint>

#include "core/labels.h"
#include "device/fault.h"

namespace sfr {

// Parameters of the kernels of label_ops.cu.

struct OneHotArgs {
  const uint8_t* labels;
  float* y;
  int64_t count, classes;
  DeviceFault* fault;
  int32_t node;
};

/// `b` may be null; `mask` repeats every `inner` elements.
struct SelectLabelsArgs {
  const uint8_t *a, *b;
  const float* mask;
  uint8_t* y;
  int64_t count, inner;
};

}  // namespace sfr
