// Device memory by need: blocks that were given back are kept and handed out again, since asking the driver
// waits for everything that runs. The sum of all blocks stays within a budget.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "device/device_table.h"

namespace sfr {

/// Bytes on a device; goes back to its pool, which it keeps alive, with the last owner.
using DeviceBytes = std::shared_ptr<std::byte>;

class MemoryPool : public std::enable_shared_from_this<MemoryPool> {
 public:
  /// `budget`: most bytes to hold, in use and kept. The table must outlive the pool.
  MemoryPool(const SfrDeviceTable& table, size_t budget) : table_(table), budget_(budget) {}
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// At least `bytes` bytes, aligned to 256; contents are undefined. What is kept unused goes back to the
  /// driver when the budget or the card would not suffice else.
  /// Throws Error(device) that names the need, what is in use and the budget.
  DeviceBytes allocate(size_t bytes);

  size_t budget() const { return budget_; }
  size_t bytes_in_use() const;
  size_t bytes_kept() const;

 private:
  std::byte* take_kept(size_t bytes);
  void give_back(std::byte* memory, size_t bytes);
  void release_kept();

  const SfrDeviceTable& table_;
  const size_t budget_;
  mutable std::mutex mutex_;
  std::multimap<size_t, std::byte*> kept_;
  size_t in_use_ = 0, kept_bytes_ = 0;
};

}  // namespace sfr
