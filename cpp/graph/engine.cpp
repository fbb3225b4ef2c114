#include "graph/engine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace sfr {

Engine& Engine::instance() {
  static Engine engine;
  return engine;
}

Engine::Engine() : pool_(std::make_unique<ThreadPool>(available_threads())), threads_(pool_->threads()) {}

void Engine::set_threads(int threads) {
  if (threads < 1)
    throw Error(ErrorCode::usage, "engine: expected threads >= 1, received " + std::to_string(threads));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (threads == pool_->threads()) return;
  pool_ = std::make_unique<ThreadPool>(threads);
  threads_ = threads;
}

size_t Engine::bytes_beside_arena() const {
  std::ifstream statm("/proc/self/statm");
  size_t pages = 0, resident = 0;
  statm >> pages >> resident;  // both stay 0 where there is no such file
  const size_t bytes = resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes - std::min(bytes, arena_bytes());
}

std::byte* Engine::Lease::arena(size_t bytes) {
  if (bytes > engine_.arena_bytes_) {
    engine_.arena_.reset();
    engine_.arena_bytes_ = 0;
    engine_.arena_ = allocate_bytes(bytes);
    engine_.arena_bytes_ = bytes;
  }
  return engine_.arena_.get();
}

void Engine::release_arena() {
  const std::lock_guard<std::mutex> lock(mutex_);
  arena_.reset();
  arena_bytes_ = 0;
}

std::shared_ptr<Device> Engine::device() {
  const std::lock_guard<std::mutex> lock(device_mutex_);
  return device_;
}

void Engine::set_device(std::shared_ptr<Device> device) {
  const std::lock_guard<std::mutex> lock(device_mutex_);
  device_ = std::move(device);
}

}  // namespace sfr
