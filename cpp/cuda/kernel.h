// What every kernel source (<op>.cu) includes. The same source is compiled by nvcc for libsfr_cuda and by the
// host's compiler for the launch shim (test/native/shim), which runs it on the CPU and watches its accesses.
// Kernels use threadIdx, blockIdx, blockDim, gridDim, __syncthreads, __shfl_xor_sync with all lanes,
// atomicMin, atomicAdd of integers, atomic_read, SFR_SHARED memory, and the maths of <cmath>; nothing else.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "device/fault.h"

namespace sfr::cuda {

/// A kernel of this library. Entries chain themselves up before main() begins.
struct KernelEntry {
  const char* name;
  const void* function;            // what the CUDA runtime launches
  void (*call)(const void* args);  // what the shim calls for each thread
  size_t args_bytes;
  const KernelEntry* next;
};

inline const KernelEntry*& first_kernel() {
  static const KernelEntry* first = nullptr;
  return first;
}

struct RegisterKernel {
  KernelEntry entry;
  RegisterKernel(const char* name, const void* function, void (*call)(const void*), size_t args_bytes)
      : entry{name, function, call, args_bytes, first_kernel()} {
    first_kernel() = &entry;
  }
};

/// The entry of that name; null when there is none.
inline const KernelEntry* find_kernel(const char* name) {
  const auto is_equal = [](const char* a, const char* b) {
    while (*a != 0 && *a == *b) ++a, ++b;
    return *a == *b;
  };
  const KernelEntry* entry = first_kernel();
  while (entry != nullptr && !is_equal(entry->name, name)) entry = entry->next;
  return entry;
}

}  // namespace sfr::cuda

#if defined(__CUDACC__)

#define SFR_DEVICE __device__ __forceinline__
/// An array that the threads of a block share: SFR_SHARED(float, tile, [16][17]).
#define SFR_SHARED(type, name, extents) __shared__ type name extents
#define SFR_KERNEL_FUNCTION(name) reinterpret_cast<const void*>(&name)
#define SFR_KERNEL_CALL(name, Args) nullptr

namespace sfr::cuda {

/// A word that other threads change by atomics meanwhile.
SFR_DEVICE int32_t atomic_read(const int32_t* at) {
  return *static_cast<const volatile int32_t*>(at);
}

}  // namespace sfr::cuda

#else

#include "native/shim/shim.h"

#define SFR_DEVICE inline
#define SFR_SHARED(type, name, extents) \
  type(&name) extents = *static_cast<type(*) extents>(::sfr::shim::shared_array(sizeof(type extents)))
#define SFR_KERNEL_FUNCTION(name) nullptr
#define SFR_KERNEL_CALL(name, Args) [](const void* args) { name(*static_cast<const Args*>(args)); }

namespace sfr::cuda {
using shim::atomic_read;
}

#endif

/// Defines a kernel of one parameter, a plain struct: SFR_KERNEL(fill, FillArgs) { ... args.y ... }
#define SFR_KERNEL(name, Args)                                                                      \
  static __global__ void name(Args args);                                                           \
  static const ::sfr::cuda::RegisterKernel name##_entry(#name, SFR_KERNEL_FUNCTION(name),           \
                                                        SFR_KERNEL_CALL(name, Args), sizeof(Args)); \
  static __global__ void name(Args args)

namespace sfr::cuda {

/// Calls body(i) for this thread's share of 0 <= i < count.
template <class F>
SFR_DEVICE void over_elements(int64_t count, F body) {
  const int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += threads)
    body(i);
}

/// The same value in all lanes of a warp: their sum, their largest; by halves, so in a fixed order.
SFR_DEVICE float warp_sum(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}
SFR_DEVICE float warp_max(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lanes));
  return value;
}

}  // namespace sfr::cuda
