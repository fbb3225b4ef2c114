// Memory-bound: one pass over both tensors.
#include "cuda/bf16.h"
#include "ops/bf16/bf16.h"

namespace sfr::cuda {

SFR_KERNEL(round_bf16, RoundBf16Args) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = as_bf16(args.x[i]); });
}

SFR_KERNEL(widen_bf16, WidenBf16Args) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = as_float(args.x[i]); });
}

}  // namespace sfr::cuda
