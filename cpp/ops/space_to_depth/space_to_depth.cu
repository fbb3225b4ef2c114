// Memory-bound: one thread per element of the coarse volume, whose channels are runs of the fine one.
#include "cuda/bf16.h"
#include "ops/space_to_depth/space_to_depth.h"

namespace sfr::cuda {

/// Where element `i` of the coarse volume [n d, h, w, (bd bh bw c)] lies in the fine one.
SFR_DEVICE int64_t fine_element(const BlockArgs& args, int64_t i) {
  const int64_t channel = i % args.channels, within = i / args.channels % (args.bd * args.bh * args.bw),
                voxel = i / args.channels / (args.bd * args.bh * args.bw);
  const int64_t x = voxel % args.width * args.bw + within % args.bw,
                y = voxel / args.width % args.height * args.bh + within / args.bw % args.bh,
                z = voxel / args.width / args.height * args.bd + within / args.bw / args.bh;
  return ((z * args.height * args.bh + y) * args.width * args.bw + x) * args.channels + channel;
}

SFR_KERNEL(space_to_depth, BlockArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.x[fine_element(args, i)]; });
}

SFR_KERNEL(depth_to_space, BlockArgs) {
  over_elements(args.count, [&](int64_t i) {
    const float bias = args.bias != nullptr ? args.bias[i % args.channels] : 0.0f;
    args.y[fine_element(args, i)] = args.x[i] + bias;
  });
}

}  // namespace sfr::cuda
