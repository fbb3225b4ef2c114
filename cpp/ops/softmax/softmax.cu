// Memory-bound: a warp per row, three passes over a row that the cache holds.
#include "cuda/bf16.h"
#include "ops/softmax/softmax.h"

namespace sfr::cuda {

/// Calls body(offset of the row, lane) for the rows of this thread's warp.
template <class F>
SFR_DEVICE void over_rows(const SoftmaxArgs& args, F body) {
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (blockDim.x / 32);
  const int64_t first = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  for (int64_t row = first; row < args.rows; row += warps)
    body(row * args.channels, static_cast<int64_t>(threadIdx.x % 32));
}

SFR_KERNEL(softmax_rows, SoftmaxArgs) {
  over_rows(args, [&](int64_t row, int64_t lane) {
    float top = -INFINITY, sum = 0;
    for (int64_t k = lane; k < args.channels; k += 32) top = fmaxf(top, args.x[row + k]);
    top = warp_max(top);
    for (int64_t k = lane; k < args.channels; k += 32) sum += expf(args.x[row + k] - top);
    sum = warp_sum(sum);
    for (int64_t k = lane; k < args.channels; k += 32) args.y[row + k] = expf(args.x[row + k] - top) / sum;
  });
}

SFR_KERNEL(softmax_backward_rows, SoftmaxArgs) {
  over_rows(args, [&](int64_t row, int64_t lane) {
    float dot = 0;
    for (int64_t k = lane; k < args.channels; k += 32) dot += args.x[row + k] * args.dy[row + k];
    dot = warp_sum(dot);
    for (int64_t k = lane; k < args.channels; k += 32)
      args.y[row + k] = args.x[row + k] * (args.dy[row + k] - dot);
  });
}

}  // namespace sfr::cuda
