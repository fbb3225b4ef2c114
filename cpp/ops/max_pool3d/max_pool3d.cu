// Memory-bound: one thread per block of eight voxels and channel.
#include "cuda/bf16.h"
#include "ops/max_pool3d/max_pool3d.h"

namespace sfr::cuda {

/// Element `k` of the eight under output element `i`: z fastest, then y, then x.
SFR_DEVICE int64_t under(const MaxPoolArgs& args, int64_t i, int k) {
  const int64_t channel = i % args.channels, voxel = i / args.channels;
  const int64_t x = 2 * (voxel % args.width) + k / 4, y = 2 * (voxel / args.width % args.height) + k / 2 % 2,
                z = 2 * (voxel / args.width / args.height) + k % 2;
  return ((z * 2 * args.height + y) * 2 * args.width + x) * args.channels + channel;
}

/// Which of the eight is the largest: the first of equal ones, or the first NaN.
SFR_DEVICE int largest(const MaxPoolArgs& args, int64_t i) {
  int best = 0;
  float top = args.x[under(args, i, 0)];
  for (int k = 1; k < 8; ++k) {
    const float value = args.x[under(args, i, k)];
    const bool wins = value > top || (value != value && top == top);
    if (!wins) continue;
    best = k;
    top = value;
  }
  return best;
}

SFR_KERNEL(max_pool, MaxPoolArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.x[under(args, i, largest(args, i))]; });
}

SFR_KERNEL(max_pool_gradient, MaxPoolArgs) {
  over_elements(args.count, [&](int64_t i) {
    const int best = largest(args, i);
    for (int k = 0; k < 8; ++k) args.y[under(args, i, k)] = k == best ? args.dy[i] : 0.0f;
  });
}

}  // namespace sfr::cuda
