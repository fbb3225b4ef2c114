#include "device/memory_pool.h"

#include <string>

#include "core/error.h"

namespace sfr {

namespace {

/// Sizes in steps, so that blocks fit again: 512 bytes, from a mebibyte on 2 MiB (the driver's own pages).
size_t rounded(size_t bytes) {
  constexpr size_t kLarge = size_t{1} << 20;
  const size_t step = bytes < kLarge ? 512 : 2 * kLarge;
  return bytes == 0 ? step : (bytes + step - 1) / step * step;
}

}  // namespace

MemoryPool::~MemoryPool() {
  release_kept();
}

size_t MemoryPool::bytes_in_use() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return in_use_;
}

size_t MemoryPool::bytes_kept() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return kept_bytes_;
}

DeviceBytes MemoryPool::allocate(size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t size = rounded(bytes);
  std::byte* memory = take_kept(size);
  if (memory == nullptr) {
    if (in_use_ + kept_bytes_ + size > budget_) release_kept();
    const bool fits = in_use_ + size <= budget_;
    void* fresh = nullptr;
    if (fits && table_.allocate(size, &fresh) != 0) {
      release_kept();
      if (table_.allocate(size, &fresh) != 0) fresh = nullptr;
    }
    if (fresh == nullptr)
      throw Error(ErrorCode::device, "device memory: expected " + std::to_string(size) +
                                         " more bytes, received none: " + std::to_string(in_use_) +
                                         " of a budget of " + std::to_string(budget_) + " bytes are in use" +
                                         (fits ? " and the card has no more" : "") +
                                         "; use a smaller patch or batch, or allow more");
    memory = static_cast<std::byte*>(fresh);
  }
  in_use_ += size;
  return DeviceBytes(memory,
                     [pool = shared_from_this(), size](std::byte* block) { pool->give_back(block, size); });
}

std::byte* MemoryPool::take_kept(size_t bytes) {
  const auto found = kept_.find(bytes);
  if (found == kept_.end()) return nullptr;
  std::byte* memory = found->second;
  kept_.erase(found);
  kept_bytes_ -= bytes;
  return memory;
}

void MemoryPool::give_back(std::byte* memory, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  in_use_ -= bytes;
  kept_.emplace(bytes, memory);
  kept_bytes_ += bytes;
}

void MemoryPool::release_kept() {
  for (const auto& block : kept_) table_.release(block.second);
  kept_.clear();
  kept_bytes_ = 0;
}

}  // namespace sfr
