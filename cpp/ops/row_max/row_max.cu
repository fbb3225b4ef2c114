// Memory-bound: a block per row.
#include "cuda/kernel.h"
#include "ops/row_max/row_max.h"

namespace sfr::cuda {

SFR_KERNEL(row_max, RowMaxArgs) {
  SFR_SHARED(float, largest, [8]);
  const uint32_t thread = threadIdx.x;
  for (int64_t row = blockIdx.x; row < args.rows; row += gridDim.x) {
    const float* x = args.x + row * args.length;
    float top = x[0];
    for (int64_t i = thread; i < args.length; i += blockDim.x) top = fmaxf(top, x[i]);
    top = warp_max(top);
    __syncthreads();  // the row before has been read
    if (thread % 32 == 0) largest[thread / 32] = top;
    __syncthreads();
    if (thread != 0) continue;
    for (int warp = 1; warp < 8; ++warp) top = fmaxf(top, largest[warp]);
    args.y[row] = top;
  }
}

}  // namespace sfr::cuda
