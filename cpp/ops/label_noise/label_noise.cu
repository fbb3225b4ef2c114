// Steps 1 to 4 of the contract by one block, whose threads all know the same counts; step 5 by all elements.
#include "cuda/selection.h"
#include "ops/label_noise/label_noise.h"

namespace sfr::cuda {

/// The class of the largest q that reaches its threshold; -1: none does.
SFR_DEVICE int32_t counted_class(const LabelNoiseArgs& args, int64_t i) {
  const float* q = args.q + i * args.classes;
  int32_t best = -1;
  for (int32_t k = 0; k < args.classes; ++k)
    if (static_cast<double>(q[k]) >= args.thresholds[k] && (best < 0 || q[k] > q[best])) best = k;
  return best;
}

/// Number and threshold of each label. Labels out of range are elements of none.
SFR_DEVICE void find_thresholds(const LabelNoiseArgs& args, BlockCounts& counts, double (&sums)[256]) {
  for (int64_t k = 0; k < args.classes; ++k) {
    double own = 0;
    for (int64_t i = threadIdx.x; i < args.elements; i += blockDim.x)
      own += args.labels[i] == k ? static_cast<double>(args.q[i * args.classes + k]) : 0.0;
    sums[threadIdx.x] = own;
    const int64_t count = block_count(counts, args.elements, [&](int64_t i) { return args.labels[i] == k; });
    if (threadIdx.x == 0) {
      double total = 0;
      for (uint32_t t = 0; t < blockDim.x; ++t) total += sums[t];
      args.counts[k] = count;
      args.thresholds[k] =
          count > 0 ? total / static_cast<double>(count) - kLabelNoiseSlack : static_cast<double>(INFINITY);
    }
    __syncthreads();
  }
}

SFR_DEVICE void count_joint(const LabelNoiseArgs& args, BlockCounts& counts) {
  for (int64_t i = threadIdx.x; i < args.elements; i += blockDim.x) args.counted[i] = counted_class(args, i);
  __syncthreads();
  for (int64_t pair = 0; pair < args.classes * args.classes; ++pair) {
    const int64_t a = pair / args.classes, b = pair % args.classes;
    const int64_t count = block_count(counts, args.elements,
                                      [&](int64_t i) { return args.labels[i] == a && args.counted[i] == b; });
    if (threadIdx.x == 0) args.joint[pair] = a == b && count == 0 ? 1 : count;
  }
  __syncthreads();
  for (int64_t k = threadIdx.x; k < args.classes; k += blockDim.x)
    scale_label_row(args.joint + k * args.classes, args.scaled + k * args.classes, args.classes,
                    args.counts[k]);
  __syncthreads();
}

/// What q[k] has to be below, and the margins at least, for label k to be noise.
SFR_DEVICE void find_limits(const LabelNoiseArgs& args, BlockCounts& counts, int64_t k) {
  const int64_t count = args.counts[k], wrong = count - args.joint[k * args.classes + k];
  const auto is_labelled = [&](int64_t i) { return args.labels[i] == k; };
  float lowest = wrong <= 0 ? -INFINITY : INFINITY;
  if (wrong > 0 && wrong < count)
    lowest = block_select(counts, args.elements, wrong + 1, is_labelled,
                          [&](int64_t i) { return args.q[i * args.classes + k]; });
  if (threadIdx.x == 0) args.lowest[k] = lowest;
  for (int64_t j = 0; j < args.classes; ++j) {
    int64_t taken = j == k ? 0 : args.joint[k * args.classes + j];
    if (taken > count) taken = count;
    float margin = INFINITY;
    if (taken > 0)
      margin = block_select(counts, args.elements, count - taken + 1, is_labelled, [&](int64_t i) {
        return args.q[i * args.classes + j] - args.q[i * args.classes + k];
      });
    if (threadIdx.x == 0) args.margins[k * args.classes + j] = margin;
  }
}

SFR_KERNEL(label_noise_limits, LabelNoiseArgs) {
  SFR_SHARED(int64_t, counts, [256]);
  SFR_SHARED(double, sums, [256]);
  find_thresholds(args, counts, sums);
  count_joint(args, counts);
  for (int64_t k = 0; k < args.classes; ++k) find_limits(args, counts, k);
}

SFR_DEVICE bool is_noise(const LabelNoiseArgs& args, int64_t i, int64_t k) {
  const float* q = args.q + i * args.classes;
  bool is_far = false, is_largest = true;
  for (int64_t j = 0; j < args.classes; ++j) {
    is_far = is_far || q[j] - q[k] >= args.margins[k * args.classes + j];
    is_largest = is_largest && (j < k ? q[j] < q[k] : q[j] <= q[k]);
  }
  return q[k] < args.lowest[k] && is_far && !is_largest;
}

SFR_KERNEL(label_noise, LabelNoiseArgs) {
  int64_t present = 0;
  for (int64_t k = 0; k < args.classes; ++k) present += args.counts[k] > 0 ? 1 : 0;
  over_elements(args.elements, [&](int64_t i) {
    const int64_t label = args.labels[i];
    if (label >= args.classes) {
      atomicMin(&args.fault->code, fault_code(args.node, i));
      args.y[i] = 0;
      return;
    }
    args.y[i] = present < 2 || is_noise(args, i, label) ? 1.0f : 0.0f;
  });
}

}  // namespace sfr::cuda
