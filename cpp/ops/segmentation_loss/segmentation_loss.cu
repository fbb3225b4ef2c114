// Memory-bound, with few classes: one thread per position finds what its softmax needs, then sums over the
// positions run class by class (cuda/column_sums.h), reading the logits a second time. No probability is
// stored.
#include "cuda/bf16.h"
#include "cuda/column_sums.h"
#include "ops/segmentation_loss/segmentation_loss.h"

namespace sfr::cuda {

SFR_KERNEL(segmentation_loss_positions, SegmentationLossArgs) {
  over_elements(args.positions, [&](int64_t i) {
    const Elements logits = args.logits + i * args.classes;
    const int label = args.labels[i];
    float top = logits[0], sum = 0;
    for (int64_t k = 1; k < args.classes; ++k) top = fmaxf(top, logits[k]);
    for (int64_t k = 0; k < args.classes; ++k) sum += expf(logits[k] - top);
    args.top[i] = top;
    args.inverse[i] = label == kIgnoredLabel ? 0.0f : 1 / sum;
    args.entropies[i] = label < args.classes ? top - logits[label] + logf(sum) : 0.0f;
    if (label >= args.classes && label < kGapLabel) atomicMin(&args.fault->code, fault_code(args.node, i));
  });
}

SFR_KERNEL(segmentation_loss_class_sums, SegmentationLossArgs) {
  fill_column_sums<3>(args.class_sums, [&](int64_t i, int64_t k, double* own) {
    const float p = expf(args.logits[i * args.classes + k] - args.top[i]) * args.inverse[i];
    const bool is_member = args.labels[i] == k;
    own[0] += is_member ? static_cast<double>(p) : 0.0;
    own[1] += static_cast<double>(p) * static_cast<double>(p);
    own[2] += is_member ? 1.0 : 0.0;
  });
}

SFR_KERNEL(segmentation_loss_entropy_sums, SegmentationLossArgs) {
  fill_column_sums<1>(args.entropy_sums, [&](int64_t i, int64_t, double* own) {
    own[0] += static_cast<double>(args.entropies[i]);
  });
}

SFR_KERNEL(segmentation_loss_classes, SegmentationLossArgs) {
  over_elements(args.classes, [&](int64_t k) {
    for (int s = 0; s < 3; ++s) args.sums_out[3 * k + s] = column_sum(args.class_sums, s, k);
  });
}

SFR_KERNEL(segmentation_loss_values, SegmentationLossArgs) {
  over_elements(1, [&](int64_t) {
    const double* sums = args.sums_out;
    double valid = 0, dice = 0;
    for (int64_t k = 0; k < args.classes; ++k) {
      valid += sums[3 * k + 2];
      dice += 1 - (2 * sums[3 * k] + args.smooth) / (sums[3 * k + 1] + sums[3 * k + 2] + args.smooth);
    }
    const double entropy = column_sum(args.entropy_sums, 0, 0);
    args.cross_entropy[0] = valid > 0 ? static_cast<float>(entropy / valid) : 0.0f;
    args.dice[0] = static_cast<float>(dice / static_cast<double>(args.classes));
  });
}

SFR_KERNEL(segmentation_loss_factors, SegmentationLossArgs) {
  const double dice =
      args.d_dice != nullptr ? static_cast<double>(*args.d_dice) / static_cast<double>(args.classes) : 0.0;
  over_elements(args.classes, [&](int64_t k) {
    const double* sums = args.sums + 3 * k;
    const double total = sums[1] + sums[2] + args.smooth;
    args.factors[1 + k] = static_cast<float>(-2 * dice / total);
    args.factors[1 + args.classes + k] =
        static_cast<float>(2 * dice * (2 * sums[0] + args.smooth) / (total * total));
    if (k != 0) return;
    double valid = 0;
    for (int64_t j = 0; j < args.classes; ++j) valid += args.sums[3 * j + 2];
    const bool counts = args.d_entropy != nullptr && valid > 0;
    args.factors[0] = counts ? static_cast<float>(static_cast<double>(*args.d_entropy) / valid) : 0.0f;
  });
}

/// See segmentation_loss_backward_rows for the formula. Each logit is read before its gradient takes its
/// place.
SFR_KERNEL(segmentation_loss_gradient, SegmentationLossArgs) {
  const float *label_factor = args.factors + 1, *square_factor = label_factor + args.classes;
  over_elements(args.positions, [&](int64_t i) {
    const Elements logits = args.logits + i * args.classes;
    const int label = args.labels[i];
    const float entropy = label >= kGapLabel ? 0.0f : args.factors[0];
    float top = logits[0], sum = 0, dot = 0;
    for (int64_t k = 1; k < args.classes; ++k) top = fmaxf(top, logits[k]);
    for (int64_t k = 0; k < args.classes; ++k) sum += expf(logits[k] - top);
    const float inverse = label == kIgnoredLabel ? 0.0f : 1 / sum;
    for (int64_t k = 0; k < args.classes; ++k) {
      const float p = expf(logits[k] - top) * inverse, y = label == k ? 1.0f : 0.0f;
      dot += (label_factor[k] * y + square_factor[k] * p) * p;
    }
    for (int64_t k = 0; k < args.classes; ++k) {
      const float p = expf(logits[k] - top) * inverse, y = label == k ? 1.0f : 0.0f;
      const float g = label_factor[k] * y + square_factor[k] * p;
      args.dlogits[i * args.classes + k] = p * (g - dot) + entropy * (p - y);
    }
  });
}

}  // namespace sfr::cuda
