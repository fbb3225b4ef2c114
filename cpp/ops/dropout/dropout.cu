// Each thread computes its element's Philox block, about 80 integer operations; no mask is stored.
#include "core/rng.h"
#include "cuda/bf16.h"
#include "ops/dropout/dropout.h"

namespace sfr::cuda {

SFR_KERNEL(dropout, DropoutArgs) {
  const RandomKey key = key_from_words(args.rng, args.stream);
  over_elements(args.count, [&](int64_t i) {
    const int64_t element = args.channels > 0 ? i / args.per_item * args.channels + i % args.channels : i;
    const auto words = philox(key, static_cast<uint64_t>(element / 4));
    const bool kept = words[static_cast<size_t>(element % 4)] >> 8 >= args.threshold;
    args.y[i] = kept ? args.x[i] * args.factor : 0.0f;
  });
}

}  // namespace sfr::cuda
