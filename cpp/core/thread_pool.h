// The one pool of worker threads, shared by all graphs of the process. Work comes as numbered chunks whose
// count never depends on the number of threads, so results do not either.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace sfr {

class ThreadPool {
 public:
  /// `threads` >= 1 counts the calling thread.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(chunk, thread) once for each chunk in [0, chunks); thread is in [0, threads()).
  /// Returns when all are done. The body must not throw and must not call parallel_for.
  template <class F>
  void parallel_for(int64_t chunks, F&& body) {
    run(
        chunks,
        [](void* context, int64_t chunk, int thread) {
          (*static_cast<std::remove_reference_t<F>*>(context))(chunk, thread);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Body = void (*)(void* context, int64_t chunk, int thread);
  void run(int64_t chunks, Body body, void* context);
  void work(int thread);
  void take_chunks(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::atomic<uint64_t> generation_{0};  // of work; changed under the lock
  std::atomic<int> running_{0};
  std::atomic<bool> stop_{false};
  const bool spins_;  // whether waiting threads have a core to themselves
  Body body_ = nullptr;
  void* context_ = nullptr;
  int64_t chunks_ = 0;
  std::atomic<int64_t> next_{0};
};

/// Threads this process may use: min(affinity mask, cgroup CPU quota), at least 1.
int available_threads();

}  // namespace sfr
