// CUDA's words for a kernel that is compiled for the CPU. The launch shim runs its blocks one after the
// other, the threads of a block as fibres in step between barriers, so every run has one order. Kernels are
// compiled with -fsanitize=thread, whose calls before each memory access memory_check.cpp answers: an access
// outside of what the launch may touch, and two threads that meet at a word without a barrier between them,
// are faults.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sfr::shim {

struct Index {
  uint32_t x, y, z;
};

// Of the thread that runs; the same all through a kernel's call, so the compiler may ask once.
__attribute__((const)) Index thread_index();
__attribute__((const)) Index block_index();
__attribute__((const)) Index block_extent();
__attribute__((const)) Index grid_extent();

/// Waits for all threads of the block; they must all come by the same line.
void barrier(int line);
/// The word of lane `lane ^ mask`; all lanes of the warp must come by the same line.
uint32_t exchange(uint32_t word, uint32_t mask, int line);
/// The next array of the block's shared memory: the same for all threads, which ask in the same order.
void* shared_array(size_t bytes);

template <class T>
T exchange_value(T value, uint32_t mask, int line) {
  static_assert(sizeof(T) == sizeof(uint32_t), "lanes exchange words");
  union {
    T value;
    uint32_t word;
  } both{value};
  both.word = exchange(both.word, mask, line);
  return both.value;
}

// In the order of blocks and threads. No races: that is what they are for. Those that change a word return
// what it was.
unsigned long long atomic_min(unsigned long long* at, unsigned long long value);
int32_t atomic_min(int32_t* at, int32_t value);
int32_t atomic_add(int32_t* at, int32_t value);
/// The block's other threads go on before this one does: the value may be an old one by then.
int32_t atomic_read(const int32_t* at);

}  // namespace sfr::shim

#define __global__
#define __device__
#define threadIdx (::sfr::shim::thread_index())
#define blockIdx (::sfr::shim::block_index())
#define blockDim (::sfr::shim::block_extent())
#define gridDim (::sfr::shim::grid_extent())
#define __syncthreads() ::sfr::shim::barrier(__LINE__)
#define __shfl_xor_sync(lanes, value, mask) ::sfr::shim::exchange_value(value, mask, __LINE__)
#define atomicMin(at, value) ::sfr::shim::atomic_min(at, value)
#define atomicAdd(at, value) ::sfr::shim::atomic_add(at, value)
