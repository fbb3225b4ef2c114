// segmentation_loss of logits on a coarser or finer grid than the labels: rows are resized as they are
// needed.
#pragma once
#include "graph/op.h"
#include "ops/segmentation_loss/segmentation_loss.h"

namespace sfr {

/// Sums [chunks][3 K + 1] and, per chunk, the first position with a bad label or -1.
struct LossSums {
  const double* sums;
  const int64_t* bad;
  int64_t chunks;
};

/// What segmentation_loss_backward_rows multiplies with.
struct LossFactors {
  float entropy = 0;
  float label[kMaxClasses], square[kMaxClasses];
};

/// Whether logits [N, h, w, K] are resized for labels [N, H, W].
bool is_resized(const Shape& logits, const Shape& labels);

size_t resized_loss_work_bytes(const Shape& logits, const Shape& labels, int threads);
/// Inputs 0 and 1 of the context are logits and labels; the sums stand in its work memory.
LossSums sum_resized_rows(const KernelContext& c);

size_t resized_loss_backward_work_bytes(const Shape& logits, const Shape& labels, int threads);
void resized_loss_backward(const KernelContext& c, const LossFactors& factors);

}  // namespace sfr
