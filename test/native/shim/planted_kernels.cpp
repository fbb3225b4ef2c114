// Kernels with one fault each, for shim_test.cpp; compiled as the real ones are.
#include "cuda/kernel.h"
#include "native/shim/planted.h"

namespace sfr::cuda {

using test::PlantedArgs;

/// y reversed within each block of 256, through shared memory. Honest.
SFR_KERNEL(planted_honest, PlantedArgs) {
  SFR_SHARED(float, tile, [256]);
  const uint32_t t = threadIdx.x, first = blockIdx.x * 256;
  tile[t] = args.x[first + t];
  __syncthreads();
  args.y[first + t] = tile[255 - t];
}

SFR_KERNEL(planted_no_barrier, PlantedArgs) {
  SFR_SHARED(float, tile, [256]);
  const uint32_t t = threadIdx.x, first = blockIdx.x * 256;
  tile[t] = args.x[first + t];
  args.y[first + t] = tile[255 - t];
}

/// The tile is filled again while others may still read it.
SFR_KERNEL(planted_no_second_barrier, PlantedArgs) {
  SFR_SHARED(float, tile, [256]);
  const uint32_t t = threadIdx.x;
  for (uint32_t first = 0; first < 512; first += 256) {
    tile[t] = args.x[first + t];
    __syncthreads();
    args.y[first + t] = tile[255 - t];
  }
}

SFR_KERNEL(planted_divergence, PlantedArgs) {
  if (threadIdx.x < 100) __syncthreads();
  args.y[threadIdx.x] = 1;
}

SFR_KERNEL(planted_two_barriers, PlantedArgs) {
  if (threadIdx.x < 128) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  args.y[threadIdx.x] = 1;
}

SFR_KERNEL(planted_part_of_a_warp, PlantedArgs) {
  float value = args.x[threadIdx.x];
  if (threadIdx.x % 32 != 7) value += __shfl_xor_sync(0xffffffffu, value, 1);
  args.y[threadIdx.x] = value;
}

SFR_KERNEL(planted_read_behind, PlantedArgs) {
  args.y[threadIdx.x] = args.x[threadIdx.x + 257];
}

SFR_KERNEL(planted_write_before, PlantedArgs) {
  args.y[static_cast<int>(threadIdx.x) - 1] = 1;
}

SFR_KERNEL(planted_write_to_input, PlantedArgs) {
  args.x[threadIdx.x] = args.y[threadIdx.x];
}

SFR_KERNEL(planted_atomic_behind, PlantedArgs) {
  if (threadIdx.x == 0) atomicMin(reinterpret_cast<unsigned long long*>(args.y + 512), 0ull);
}

SFR_KERNEL(planted_shared_overrun, PlantedArgs) {
  SFR_SHARED(float, first, [64]);
  SFR_SHARED(float, second, [64]);
  if (threadIdx.x <= 64) first[threadIdx.x] = second[0];
  args.y[threadIdx.x] = 1;
}

/// Two blocks write the same elements.
SFR_KERNEL(planted_blocks_meet, PlantedArgs) {
  args.y[threadIdx.x] = static_cast<float>(blockIdx.x);
}

/// A block reads what another one may not have written yet.
SFR_KERNEL(planted_blocks_wait, PlantedArgs) {
  args.y[256 * blockIdx.x + threadIdx.x] = 1;
  if (blockIdx.x == 1) args.y[256 + threadIdx.x] = args.y[threadIdx.x];
}

/// Sums of warps of x.
SFR_KERNEL(planted_warp_sums, PlantedArgs) {
  args.y[threadIdx.x] = warp_sum(args.x[threadIdx.x]);
}

}  // namespace sfr::cuda
