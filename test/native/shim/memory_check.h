// Which memory a running kernel may touch, and who touched it last.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device/device_table.h"

namespace sfr::shim {

/// Last accesses of a word (a byte, for accesses of one or two bytes). A stamp counts the stretches between
/// barriers of all blocks of all launches, so nothing has to be cleared.
struct Touched {
  uint32_t write_stamp = 0, writer = 0, read_stamp = 0, reader = 0;
};

/// Checks every access of the kernel that runs. One per process: the compiler's calls know no object.
class MemoryCheck {
 public:
  static MemoryCheck& instance();

  // Device memory: launches may touch what is allocated, or, when confined, these regions.
  void add_allocation(void* memory, size_t bytes);
  void remove_allocation(void* memory);
  void confine(std::vector<SfrRegion> regions) { confined_ = std::move(regions); }

  void begin_launch(const void* args, size_t args_bytes, std::byte* shared, size_t shared_bytes);
  void end_launch();
  void begin_block() { first_of_block_ = ++stamp_; }
  void pass_barrier() { ++stamp_; }
  /// Which thread of the block runs, and on which stack.
  void set_thread(uint32_t thread, const std::byte* stack, size_t stack_bytes);
  /// An array of the block's shared memory; there is nothing between two of them.
  void add_shared_array(size_t offset, size_t bytes);

  /// Threads may meet at a word that all of them change by atomics: they have to stay inside.
  void atomic(const void* address, size_t bytes) const;

  /// Stops the kernel at its first fault.
  void access(const void* address, size_t bytes, bool is_write);

 private:
  struct Tracked {
    std::byte* begin;
    size_t bytes;
    bool writable;
    Touched* touched;  // one per byte; null for memory that is only read
  };

  /// `since`: accesses before this stamp were to other contents.
  void in_tracked(const Tracked& region, const std::byte* address, size_t bytes, bool is_write,
                  uint32_t since);
  void check_race(Touched& t, bool is_write, uint32_t since);

  std::vector<SfrRegion> confined_;
  std::vector<Tracked> allocations_, regions_;
  size_t first_read_only_ = 0, last_region_ = 0;
  bool running_ = false;
  uint32_t stamp_ = 0, first_of_launch_ = 0, first_of_block_ = 0, thread_ = 0;
  const std::byte *stack_ = nullptr, *args_ = nullptr;
  size_t stack_bytes_ = 0, args_bytes_ = 0;
  std::byte* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  std::vector<Touched> shared_touched_;
  std::vector<bool> shared_exists_;  // of its bytes
};

}  // namespace sfr::shim
