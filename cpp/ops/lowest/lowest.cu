// One block: the last value by selection, then the elements in order, a run of them per thread.
#include "cuda/selection.h"
#include "ops/lowest/lowest.h"

namespace sfr::cuda {

SFR_KERNEL(lowest, LowestArgs) {
  SFR_SHARED(int64_t, counts, [256]);
  const auto value = [&](int64_t i) { return args.x[i]; };
  const auto is_among = [&](int64_t i) { return args.mask[i] != 0; };
  float last = INFINITY;
  if (block_count(counts, args.elements, is_among) > args.wanted)
    last = block_select(counts, args.elements, args.wanted, is_among, value);
  const auto is_below = [&](int64_t i) { return is_among(i) && value(i) < last; };
  const auto is_last = [&](int64_t i) { return is_among(i) && value(i) == last; };
  // Of the elements equal to the last, the first so many are in.
  const int64_t ties = args.wanted - block_count(counts, args.elements, is_below);
  const int64_t begin = args.elements * threadIdx.x / blockDim.x,
                end = args.elements * (threadIdx.x + 1) / blockDim.x;
  int64_t own = 0, before = 0;
  for (int64_t i = begin; i < end; ++i) own += is_last(i) ? 1 : 0;
  block_sum(counts, own);
  for (uint32_t t = 0; t < threadIdx.x; ++t) before += counts[t];
  for (int64_t i = begin; i < end; ++i)
    args.y[i] = is_below(i) || (is_last(i) && before++ < ties) ? 1.0f : 0.0f;
}

}  // namespace sfr::cuda
