// Memory-bound, with few classes: one thread per voxel.
#include "cuda/bf16.h"
#include "ops/window_accumulate/window_accumulate.h"

namespace sfr::cuda {

/// The first axis (0: z) along which the window leaves the volume; 3: it lies within.
SFR_DEVICE int axis_outside(const WindowArgs& args) {
  int axis = 0;
  while (axis < 3 && args.offset[2 - axis] >= 0 &&
         args.offset[2 - axis] <= args.sizes[axis] - args.window[axis])
    ++axis;
  return axis;
}

SFR_KERNEL(window_accumulate, WindowArgs) {
  const int outside = axis_outside(args);
  if (outside < 3) {
    if (blockIdx.x == 0 && threadIdx.x == 0) atomicMin(&args.fault->code, fault_code(args.node, outside));
    return;
  }
  if (args.fault->code != kNoFault) return;
  const int64_t d = args.window[0], h = args.window[1], w = args.window[2];
  over_elements(d * h * w, [&](int64_t i) {
    const int64_t z = i / w / h, y = i / w % h, x = i % w;
    const int64_t from = ((args.mirror & 4 ? d - 1 - z : z) * h + (args.mirror & 2 ? h - 1 - y : y)) * w +
                         (args.mirror & 1 ? w - 1 - x : x);
    const int64_t voxel =
        ((args.offset[2] + z) * args.sizes[1] + args.offset[1] + y) * args.sizes[2] + args.offset[0] + x;
    const Elements logits = args.logits + from * args.classes;
    const float weight = args.weights != nullptr ? args.weights[i] : 1.0f;
    float top = logits[0], sum = 0;
    for (int64_t k = 1; k < args.classes; ++k) top = fmaxf(top, logits[k]);
    for (int64_t k = 0; k < args.classes; ++k) sum += expf(logits[k] - top);
    for (int64_t k = 0; k < args.classes; ++k)
      args.sums[voxel * args.classes + k] += weight * (expf(logits[k] - top) / sum);
    args.counts[voxel] += weight;
  });
}

SFR_KERNEL(window_mean, WindowArgs) {
  over_elements(args.sizes[0] * args.sizes[1] * args.sizes[2] * args.classes, [&](int64_t i) {
    const float count = args.counts[i / args.classes], inverse = count > 0 ? 1 / count : 0.0f;
    args.mean[i] = args.sums[i] * inverse;
  });
}

}  // namespace sfr::cuda
