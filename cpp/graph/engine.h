// Process-wide resources: the thread pool and the arena that all graphs share. One step runs at a time, since
// each step uses all threads; further ones wait.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "core/tensor.h"
#include "core/thread_pool.h"
#include "device/device.h"

namespace sfr {

class Engine {
 public:
  static Engine& instance();

  int threads() const { return threads_; }
  /// Replaces the pool; waits for a running step. `threads` >= 1.
  void set_threads(int threads);

  /// Bytes that the process should fit while it runs a program compiled from now on (0: no limit); see
  /// repeat_nodes.
  size_t memory_limit() const { return memory_limit_; }
  void set_memory_limit(size_t bytes) { memory_limit_ = bytes; }

  /// Where programs run that are compiled for a device from now on; null: on the CPU like all others.
  std::shared_ptr<Device> device();
  void set_device(std::shared_ptr<Device> device);

  /// Bytes of the arena as it is.
  size_t arena_bytes() const { return arena_bytes_; }
  /// Resident memory of the process without the arena: weights, volumes, the program itself.
  size_t bytes_beside_arena() const;

  /// Seconds in which a step had the pool, since the process began; a running step does not count yet.
  double busy_seconds() const { return 1e-9 * static_cast<double>(busy_nanoseconds_.load()); }

  /// Exclusive use of pool and arena for one step.
  class Lease {
   public:
    explicit Lease(Engine& engine) : lock_(engine.mutex_), engine_(engine) {}
    ~Lease() { engine_.busy_nanoseconds_ += (Clock::now() - start_) / std::chrono::nanoseconds(1); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ThreadPool& pool() { return *engine_.pool_; }
    /// At least `bytes` of scratch memory, kept for the next step; content is undefined.
    std::byte* arena(size_t bytes);

   private:
    using Clock = std::chrono::steady_clock;
    std::unique_lock<std::mutex> lock_;
    Engine& engine_;
    Clock::time_point start_ = Clock::now();
  };

  /// Gives the arena's memory back to the system; waits for a running step.
  void release_arena();

 private:
  Engine();
  // Held by a running step. What the main thread asks for while a program is compiled must not wait for it.
  std::mutex mutex_;
  std::unique_ptr<ThreadPool> pool_;
  std::atomic<int> threads_;
  std::mutex device_mutex_;
  // Never destroyed: when the process ends, the device's library may be gone before this is.
  std::shared_ptr<Device>& device_ = *std::make_unique<std::shared_ptr<Device>>().release();
  AlignedBytes arena_;
  std::atomic<size_t> arena_bytes_{0};
  std::atomic<size_t> memory_limit_{0};
  std::atomic<int64_t> busy_nanoseconds_{0};
};

}  // namespace sfr
