#include "core/rng.h"
#include "cuda/kernel.h"
#include "ops/box_mask/box_mask.h"

namespace sfr::cuda {

/// Whether `at` lies within the box, which begins where uniform number `axis` puts it.
SFR_DEVICE bool is_within(const BoxMaskArgs& args, int axis, uint32_t word, int64_t at) {
  const int64_t begin = static_cast<int64_t>(static_cast<double>(uniform_from_word(word)) *
                                             static_cast<double>(args.shape[axis] - args.box[axis]));
  return at >= begin && at < begin + args.box[axis];
}

SFR_KERNEL(box_mask, BoxMaskArgs) {
  const auto words = philox(key_from_words(args.rng, args.stream), 0);
  over_elements(args.shape[0] * args.shape[1] * args.shape[2], [&](int64_t i) {
    const int64_t x = i % args.shape[2], line = i / args.shape[2];
    const bool is_zero = is_within(args, 0, words[0], line / args.shape[1]) &&
                         is_within(args, 1, words[1], line % args.shape[1]) &&
                         is_within(args, 2, words[2], x);
    args.y[i] = is_zero ? 0.0f : 1.0f;
  });
}

}  // namespace sfr::cuda
