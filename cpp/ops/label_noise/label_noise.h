// label_noise: which labels are likely wrong by another network's probabilities (confident learning,
// Northcutt et al. 2021, as ACMT's self label-noise identification uses it, Xu et al. 2023).
//   labels u8 [..] below K, probabilities q f32 [.., K] -> y f32 [..]; all elements are pooled
//   1. threshold h[k] = mean of q[k] over the elements labelled k; 2. an element counts as class b, that of
//   the largest q[b] among those with q[b] >= h[b] - 1e-6, if there is one; 3. C[a][b] = elements labelled a
//   that count as b, the diagonal at least 1; 4. J = rows of C scaled to the n[a] elements labelled a and
//   rounded, keeping the rows' sums; 5. y = 1 where, k being the label,
//     q[k] is below the (n[k] - J[k][k])-th lowest of the label's (counted from 0),
//     for some j q[j] - q[k] is at least the J[k][j]-th largest of the label's (counted from 1), and
//     k is not the largest of q;
//   1 everywhere when there is a single label: nothing can be told then.
// Not differentiable. Throws Error(data) on a label that is not below K.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/host_device.h"
#include "device/fault.h"

namespace sfr {

/// Subtracted from the thresholds of step 2.
inline constexpr double kLabelNoiseSlack = 1e-6;

/// Step 4: a row of C scaled to the `count` elements of its label, in place; what rounding takes from or adds
/// to the sum goes where it hurts least. `exact`: as many numbers of work memory.
inline SFR_HOST_DEVICE void scale_label_row(int64_t* row, double* exact, int64_t classes, int64_t count) {
  double total = 0;
  for (int64_t j = 0; j < classes; ++j) total += static_cast<double>(row[j]);
  int64_t missing = count;
  for (int64_t j = 0; j < classes; ++j) {
    exact[j] = static_cast<double>(row[j]) / total * static_cast<double>(count);
    row[j] = llround(exact[j]);
    missing -= row[j];
  }
  for (const int64_t step = missing < 0 ? -1 : 1; missing != 0; missing -= step) {
    int64_t most = 0;
    double largest = static_cast<double>(step) * (exact[0] - static_cast<double>(row[0]));
    for (int64_t j = 1; j < classes; ++j) {
      const double lack = static_cast<double>(step) * (exact[j] - static_cast<double>(row[j]));
      if (!(lack > largest)) continue;
      most = j;
      largest = lack;
    }
    row[most] += step;
  }
}

/// Parameters of the kernels of label_noise.cu, which keep in work memory what the CPU's kernel keeps there,
/// and the class that each element counts as, or -1.
struct LabelNoiseArgs {
  const uint8_t* labels;
  const float* q;
  float* y;
  int64_t elements, classes;
  int64_t *counts, *joint;
  double *thresholds, *scaled;
  float *lowest, *margins;
  int32_t* counted;
  DeviceFault* fault;
  int32_t node;
};

}  // namespace sfr
