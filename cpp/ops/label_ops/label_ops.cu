#include "cuda/kernel.h"
#include "ops/label_ops/label_ops.h"

namespace sfr::cuda {

SFR_KERNEL(one_hot, OneHotArgs) {
  over_elements(args.count, [&](int64_t i) {
    const int label = args.labels[i];
    for (int64_t k = 0; k < args.classes; ++k)
      args.y[i * args.classes + k] = k == label && label != kIgnoredLabel ? 1.0f : 0.0f;
    if (label >= args.classes && label != kIgnoredLabel)
      atomicMin(&args.fault->code, fault_code(args.node, i));
  });
}

SFR_KERNEL(select_labels, SelectLabelsArgs) {
  over_elements(args.count, [&](int64_t i) {
    const int other = args.b != nullptr ? args.b[i] : kIgnoredLabel;
    args.y[i] = static_cast<uint8_t>(args.mask[i % args.inner] != 0 ? args.a[i] : other);
  });
}

}  // namespace sfr::cuda
