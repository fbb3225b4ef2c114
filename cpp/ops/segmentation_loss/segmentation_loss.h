// segmentation_loss: cross-entropy and Dice of a softmax over the last axis, in one pass; no probability is
// stored.
//   logits [.., K] f32, labels [..] u8; or logits [N, h, w, K] and labels [N, H, W]: the logits are resized
//   to the labels' grid as resize_bilinear does, row by row, and never stored at that size
//   -> cross_entropy [] f32 = mean of -log softmax(logits)[label] over positions with a class, or 0
//   -> dice [] f32 = mean over classes of 1 - (2 I + s) / (P + Y + s), I = sum(p y), P = sum(p^2), Y = sum(y)
//      over the whole batch jointly
//   -> sums [K, 3] f64 = (I, P, Y) of each class; sum(Y) is the number of positions with a class
//   attribute smooth: s > 0. 1 <= K <= 254. Label 255: ignored, in no sum at all. Label 254: a gap of a
//   canvas, which has no class but whose p counts in P: what DiceLoss and CrossEntropyLoss(ignore_index) of
//   SFR's code make of the label of gaps. Throws Error(data) on a label that is neither of them nor below K.
//   Gradient: logits.
// segmentation_loss_backward(logits, labels, sums, d cross_entropy, d dice) -> dlogits; either gradient may
// be absent. resized_segmentation_loss_backward: the same where the logits are resized.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/labels.h"
#include "cuda/columns.h"
#include "cuda/elements.h"
#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

constexpr int64_t kMaxClasses = kGapLabel;

struct SegmentationLossAttributes {
  double smooth = 1e-10;
  template <class V>
  void visit(V& v) {
    v("smooth", smooth);
  }
};

/// Parameters of the kernels of segmentation_loss.cu; what a kernel does not use is null. Work memory:
/// largest logit, inverse sum of exponentials and cross-entropy of each position; sums over them; factors of
/// the gradient (entropy, label [K], square [K]).
struct SegmentationLossArgs {
  Elements logits;
  const float *d_entropy, *d_dice;
  const uint8_t* labels;
  int64_t positions, classes;
  float *top, *inverse, *entropies, *factors;
  ColumnSums class_sums, entropy_sums;
  const double* sums;  // of the forward pass, for the backward one
  float *cross_entropy, *dice;
  Results dlogits;
  double* sums_out;
  DeviceFault* fault;
  int32_t node;
  double smooth;
};

struct KernelContext;
struct NodeTypes;
// Launches of these kernels, for the ops and their gradients. Where the logits are on another grid than the
// labels they are resized in work memory first, and so is their gradient.
void segmentation_loss_cuda(const KernelContext& c);
size_t segmentation_loss_cuda_work_bytes(const NodeTypes& t);
void segmentation_loss_backward_cuda(const KernelContext& c);
size_t segmentation_loss_backward_cuda_work_bytes(const NodeTypes& t);

// Writes I, P, Y of each class and then the sum of the cross-entropies to sums [3 K + 1].
// Returns the first position with a bad label, or -1; its sums mean nothing then.
SFR_DECLARE_LEVELS(int64_t segmentation_loss_rows(const float* logits, const uint8_t* labels, int64_t count,
                                                  int64_t classes, double* sums))
// d logits = ce (p - y) (0 in gaps) + p (g - sum(g p)) with g = label_factor[k] y + square_factor[k] p; 0
// where ignored.
SFR_DECLARE_LEVELS(void segmentation_loss_backward_rows(const float* logits, const uint8_t* labels,
                                                        int64_t count, int64_t classes, float ce,
                                                        const float* label_factor, const float* square_factor,
                                                        float* dlogits))

}  // namespace sfr
