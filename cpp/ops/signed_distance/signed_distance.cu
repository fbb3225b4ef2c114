// Exact squared distances axis by axis, one thread per voxel and set: along a row to the nearest mark, then
// the least of dy^2 and what the rows know, then of dz^2 and what the planes know. At most an axis of reads
// per voxel and pass; a search ends where a step alone is longer than the best so far.
#include "cuda/kernel.h"
#include "ops/signed_distance/signed_distance.h"

namespace sfr::cuda {

/// Beyond any distance, and small enough to add a square to.
constexpr int32_t kNoMark = 1 << 29;

SFR_DEVICE int64_t voxel_count(const SignedDistanceArgs& args) {
  return args.samples * args.d * args.h * args.w;
}

/// Calls body(i, voxel) for the voxels of both sets.
template <class F>
SFR_DEVICE void over_sets(const SignedDistanceArgs& args, F body) {
  const int64_t voxels = voxel_count(args);
  over_elements(2 * voxels, [&](int64_t i) { body(i, i % voxels); });
}

/// The least of step^2 + squares at the steps along an axis of `extent` elements, `pitch` apart, from place
/// `at` of it, which is element i.
SFR_DEVICE int32_t least_along(const int32_t* squares, int64_t i, int64_t at, int64_t extent, int64_t pitch) {
  int32_t least = squares[i];
  for (int32_t step = 1; step < extent && step * step < least; ++step) {
    const int32_t before = at >= step ? squares[i - step * pitch] : kNoMark,
                  after = at + step < extent ? squares[i + step * pitch] : kNoMark,
                  nearer = before < after ? before : after;
    if (nearer + step * step < least) least = nearer + step * step;
  }
  return least;
}

/// Marks are the class in the first set and what is outside it in the second.
SFR_KERNEL(distances_in_rows, SignedDistanceArgs) {
  over_sets(args, [&](int64_t i, int64_t voxel) {
    const int64_t x = voxel % args.w;
    const auto is_mark = [&](int64_t step) {
      if (x + step < 0 || x + step >= args.w) return false;
      const int label = args.labels[voxel + step];
      return i == voxel ? label == args.label : label != args.label && label != kIgnoredLabel;
    };
    int32_t step = 0;
    while (step < args.w && !is_mark(-step) && !is_mark(step)) ++step;
    args.squares[i] = step < args.w ? step * step : kNoMark;
  });
}

SFR_KERNEL(distances_in_planes, SignedDistanceArgs) {
  over_sets(args, [&](int64_t i, int64_t voxel) {
    args.more_squares[i] = least_along(args.squares, i, voxel / args.w % args.h, args.h, args.w);
  });
}

/// 0 at ignored voxels, and where the sample has no mark.
SFR_KERNEL(distances_in_volumes, SignedDistanceArgs) {
  over_sets(args, [&](int64_t i, int64_t voxel) {
    const int64_t plane = args.h * args.w;
    const int32_t least = least_along(args.more_squares, i, voxel / plane % args.d, args.d, plane);
    args.squares[i] = least < kNoMark && args.labels[voxel] != kIgnoredLabel ? least : 0;
  });
}

/// Block (set, sample): the largest of its squares.
SFR_KERNEL(largest_distances, SignedDistanceArgs) {
  SFR_SHARED(int32_t, shared, [256]);
  const int64_t voxels = args.d * args.h * args.w;
  const int32_t* squares = args.squares + blockIdx.x * voxels;
  int32_t largest = 0;
  for (int64_t i = threadIdx.x; i < voxels; i += blockDim.x)
    largest = squares[i] > largest ? squares[i] : largest;
  shared[threadIdx.x] = largest;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (uint32_t t = 1; t < blockDim.x; ++t) largest = shared[t] > largest ? shared[t] : largest;
  args.largest[blockIdx.x] = largest;
}

SFR_KERNEL(signed_distances, SignedDistanceArgs) {
  const int64_t voxels = voxel_count(args);
  over_elements(voxels, [&](int64_t i) {
    const int64_t sample = i / (args.d * args.h * args.w);
    const int32_t out = args.squares[i], in = args.squares[voxels + i];
    const int32_t far = args.largest[sample], deep = args.largest[args.samples + sample];
    float y = 0;
    if (far > 0 && deep > 0 && out > 0) y = sqrtf(static_cast<float>(out)) / sqrtf(static_cast<float>(far));
    // At 1 a face neighbour is outside the class: that is its border.
    if (far > 0 && deep > 0 && in > 1) y = -sqrtf(static_cast<float>(in)) / sqrtf(static_cast<float>(deep));
    args.y[i * args.maps + args.label - 1] = y;
  });
}

}  // namespace sfr::cuda
