// Sliding-window prediction (test_single_case of SFR and UA-MT): probabilities are summed where windows
// overlap. window_accumulate: sums += softmax(logits) and counts += 1 within the window at offset; changes
// state, no output.
//   sums [D, H, W, K] f32 state, counts [D, H, W] f32 state, logits [d, h, w, K] or [1, d, h, w, K] f32,
//   offset i32 [3] = (x, y, z) of the window's first voxel
// window_mean: sums [D, H, W, K], counts [D, H, W] -> probabilities [D, H, W, K] = sums / counts; 0 where no
// window was. Not differentiable. Errors: shape when the window is larger than the volume; data when it
// reaches over its edge (nothing is written then).
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

// sums[i] += x[i]
SFR_DECLARE_LEVELS(void add_row(const float* x, float* sums, int64_t count))
// counts[i] += 1
SFR_DECLARE_LEVELS(void count_row(float* counts, int64_t count))
// y[i][k] = sums[i][k] / counts[i], 0 where counts[i] is 0
SFR_DECLARE_LEVELS(void divide_rows(const float* sums, const float* counts, int64_t rows, int64_t classes,
                                    float* y))

}  // namespace sfr
