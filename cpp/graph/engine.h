// Process-wide resources: the thread pool and the arena that all graphs share. One step runs at a time, since
// each step uses all threads; further ones wait.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>

#include "core/tensor.h"
#include "core/thread_pool.h"

namespace sfr {

class Engine {
 public:
  static Engine& instance();

  int threads();
  /// Replaces the pool; waits for a running step. `threads` >= 1.
  void set_threads(int threads);

  /// Bytes that the process should fit while it runs a program compiled from now on (0: no limit); see
  /// repeat_nodes.
  size_t memory_limit() const { return memory_limit_; }
  void set_memory_limit(size_t bytes) { memory_limit_ = bytes; }

  /// Bytes of the arena as it is; waits for a running step.
  size_t arena_bytes();
  /// Resident memory of the process without the arena: weights, volumes, the program itself.
  size_t bytes_beside_arena();

  /// Exclusive use of pool and arena for one step.
  class Lease {
   public:
    explicit Lease(Engine& engine) : lock_(engine.mutex_), engine_(engine) {}
    ThreadPool& pool() { return *engine_.pool_; }
    /// At least `bytes` of scratch memory, kept for the next step; content is undefined.
    std::byte* arena(size_t bytes);

   private:
    std::unique_lock<std::mutex> lock_;
    Engine& engine_;
  };

  /// Gives the arena's memory back to the system; waits for a running step.
  void release_arena();

 private:
  Engine();
  std::mutex mutex_;
  std::unique_ptr<ThreadPool> pool_;
  AlignedBytes arena_;
  size_t arena_bytes_ = 0;
  std::atomic<size_t> memory_limit_{0};
};

}  // namespace sfr
