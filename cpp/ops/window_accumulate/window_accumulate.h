// Sliding-window prediction (test_single_case of SFR and UA-MT): probabilities are summed where windows
// overlap. window_accumulate: sums += w softmax(logits) and counts += w within the window at offset; changes
// state, no output.
//   sums [D, H, W, K] f32 state, counts [D, H, W] f32 state, logits [d, h, w, K] or [1, d, h, w, K] f32,
//   offset i32 [3] = (x, y, z) of the window's first voxel,
//   weights? f32 [d, h, w] = w (default 1)
//   mirror: sum of 1 (x), 2 (y), 4 (z), the axes along which the network has seen the window mirrored; the
//   logits are turned back (weights are not mirrored)
// window_mean: sums [D, H, W, K], counts [D, H, W] -> probabilities [D, H, W, K] = sums / counts; 0 where no
// window was. Not differentiable. Errors: shape when the window is larger than the volume; data when it
// reaches over its edge (nothing is written then).
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

struct WindowAccumulateAttributes {
  int64_t mirror = 0;
  template <class V>
  void visit(V& v) {
    v("mirror", mirror);
  }
};

/// Parameters of the kernels of window_accumulate.cu. `sizes` [D, H, W] of the volume, `window` [d, h, w];
/// weights may be null.
struct WindowArgs {
  float *sums, *counts, *mean;
  Elements logits;
  const float* weights;
  const int32_t* offset;
  int64_t sizes[3], window[3], classes;
  int64_t mirror;
  DeviceFault* fault;
  int32_t node;
};

// sums[i] += x[i]
SFR_DECLARE_LEVELS(void add_row(const float* x, float* sums, int64_t count))
// counts[i] += 1
SFR_DECLARE_LEVELS(void count_row(float* counts, int64_t count))
// sums[i][k] += w[i] x[j][k] and counts[i] += w[i], j = i or, `reversed`, rows - 1 - i; w = 1 where weights
// are null
SFR_DECLARE_LEVELS(void add_weighted_row(const float* x, const float* weights, bool reversed, int64_t rows,
                                         int64_t classes, float* sums, float* counts))
// y[i][k] = sums[i][k] / counts[i], 0 where counts[i] is 0
SFR_DECLARE_LEVELS(void divide_rows(const float* sums, const float* counts, int64_t rows, int64_t classes,
                                    float* y))

}  // namespace sfr
