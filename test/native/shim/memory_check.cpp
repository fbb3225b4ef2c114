#include "native/shim/memory_check.h"

#include <sys/mman.h>

#include <algorithm>

#include "native/shim/fibres.h"

namespace sfr::shim {

namespace {

constexpr uint32_t kSeveral = ~0u;  // readers of one stretch, or of several blocks

/// Zero pages that cost nothing until they are used.
Touched* map_touched(size_t bytes) {
  void* p = mmap(nullptr, std::max<size_t>(bytes, 1) * sizeof(Touched), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<Touched*>(p);
}

bool lies_in(const std::byte* address, size_t bytes, const std::byte* begin, size_t extent) {
  return address >= begin && address + bytes <= begin + extent;
}

}  // namespace

MemoryCheck& MemoryCheck::instance() {
  static MemoryCheck check;
  return check;
}

void MemoryCheck::add_allocation(void* memory, size_t bytes) {
  allocations_.push_back({static_cast<std::byte*>(memory), bytes, true, map_touched(bytes)});
}

void MemoryCheck::remove_allocation(void* memory) {
  const auto found = std::find_if(allocations_.begin(), allocations_.end(),
                                  [&](const Tracked& a) { return a.begin == memory; });
  munmap(found->touched, std::max<size_t>(found->bytes, 1) * sizeof(Touched));
  allocations_.erase(found);
}

void MemoryCheck::begin_launch(const void* args, size_t args_bytes, std::byte* shared, size_t shared_bytes) {
  args_ = static_cast<const std::byte*>(args);
  args_bytes_ = args_bytes;
  shared_ = shared;
  shared_bytes_ = shared_bytes;
  shared_touched_.resize(shared_bytes);
  shared_exists_.assign(shared_bytes, false);
  regions_ = allocations_;
  if (!confined_.empty()) regions_.clear();
  for (const SfrRegion& r : confined_) {
    auto* begin = const_cast<std::byte*>(static_cast<const std::byte*>(r.begin));
    for (const Tracked& a : allocations_)
      if (lies_in(begin, r.bytes, a.begin, a.bytes))
        regions_.push_back({begin, r.bytes, r.writable != 0, a.touched + (begin - a.begin)});
  }
  // What may be written comes first: an input that the output takes over is listed twice.
  const auto read_only =
      std::stable_partition(regions_.begin(), regions_.end(), [](const Tracked& r) { return r.writable; });
  first_read_only_ = static_cast<size_t>(read_only - regions_.begin());
  last_region_ = 0;
  first_of_launch_ = stamp_ + 1;
  running_ = true;
}

void MemoryCheck::add_shared_array(size_t offset, size_t bytes) {
  if (!shared_exists_[offset])
    std::fill_n(shared_exists_.begin() + static_cast<std::ptrdiff_t>(offset), bytes, true);
}

void MemoryCheck::end_launch() {
  running_ = false;
}

void MemoryCheck::set_thread(uint32_t thread, const std::byte* stack, size_t stack_bytes) {
  thread_ = thread;
  stack_ = stack;
  stack_bytes_ = stack_bytes;
}

void MemoryCheck::check_race(Touched& t, bool is_write, uint32_t since) {
  const bool wrote = t.write_stamp >= since;
  const bool other_wrote =
      wrote && (t.write_stamp < first_of_block_ || (t.write_stamp == stamp_ && t.writer != thread_));
  const bool was_read = t.read_stamp >= since;
  const bool other_read =
      was_read && (t.read_stamp < first_of_block_ || (t.read_stamp == stamp_ && t.reader != thread_));
  if (other_wrote || (is_write && other_read))
    stop_kernel(
        std::string(is_write ? "writes" : "reads") + " a word that thread " +
        std::to_string(other_wrote ? t.writer : t.reader) + " of " +
        ((other_wrote ? t.write_stamp : t.read_stamp) < first_of_block_ ? "another block" : "this block") +
        (other_wrote ? " has written" : " has read") + ", without a barrier between them");
  if (is_write) {
    t.write_stamp = stamp_;
    t.writer = thread_;
    return;
  }
  if (was_read && t.read_stamp < first_of_block_) return;  // a write by any block is a fault from now on
  t.reader = was_read && t.read_stamp == stamp_ && t.reader != thread_ ? kSeveral : thread_;
  t.read_stamp = stamp_;
}

void MemoryCheck::in_tracked(const Tracked& region, const std::byte* address, size_t bytes, bool is_write,
                             uint32_t since) {
  if (!region.writable) {
    if (is_write) stop_kernel("writes to an input");
    return;
  }
  // Elements of one or two bytes have neighbours in their word that belong to other threads.
  const size_t step = bytes < 4 ? bytes : 4;
  for (size_t i = 0; i < bytes; i += step)
    check_race(region.touched[address - region.begin + i], is_write, since);
}

void MemoryCheck::atomic(const void* pointer, size_t bytes) const {
  for (size_t i = 0; i < first_read_only_; ++i)
    if (lies_in(static_cast<const std::byte*>(pointer), bytes, regions_[i].begin, regions_[i].bytes)) return;
  stop_kernel("changes " + std::to_string(bytes) + " bytes outside of the memory that it was given to write");
}

void MemoryCheck::access(const void* pointer, size_t bytes, bool is_write) {
  if (!running_) return;
  const auto* address = static_cast<const std::byte*>(pointer);
  if (lies_in(address, bytes, stack_, stack_bytes_)) return;
  if (lies_in(address, bytes, shared_, shared_bytes_)) {
    const auto offset = static_cast<size_t>(address - shared_);
    if (!shared_exists_[offset] || !shared_exists_[offset + bytes - 1])
      stop_kernel(std::string(is_write ? "writes" : "reads") + " beside an array of shared memory");
    in_tracked({shared_, shared_bytes_, true, shared_touched_.data()}, address, bytes, is_write,
               first_of_block_);
    return;
  }
  if (!is_write && lies_in(address, bytes, args_, args_bytes_)) return;
  if (last_region_ < first_read_only_ &&
      lies_in(address, bytes, regions_[last_region_].begin, regions_[last_region_].bytes)) {
    in_tracked(regions_[last_region_], address, bytes, is_write, first_of_launch_);
    return;
  }
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (!lies_in(address, bytes, regions_[i].begin, regions_[i].bytes)) continue;
    last_region_ = i;
    in_tracked(regions_[i], address, bytes, is_write, first_of_launch_);
    return;
  }
  stop_kernel(std::string(is_write ? "writes" : "reads") + " " + std::to_string(bytes) +
              " bytes outside of the memory that it was given");
}

}  // namespace sfr::shim

// What -fsanitize=thread calls. Kernels hold no other thread's memory, so the rest of its interface is empty.
extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define SFR_ACCESS(bytes)                                                                                    \
  void __tsan_read##bytes(void* p) { sfr::shim::MemoryCheck::instance().access(p, bytes, false); }           \
  void __tsan_write##bytes(void* p) { sfr::shim::MemoryCheck::instance().access(p, bytes, true); }           \
  void __tsan_unaligned_read##bytes(void* p) { sfr::shim::MemoryCheck::instance().access(p, bytes, false); } \
  void __tsan_unaligned_write##bytes(void* p) { sfr::shim::MemoryCheck::instance().access(p, bytes, true); }
SFR_ACCESS(1)
SFR_ACCESS(2)
SFR_ACCESS(4)
SFR_ACCESS(8)
SFR_ACCESS(16)
#undef SFR_ACCESS
void __tsan_read_range(void* p, unsigned long bytes) {
  sfr::shim::MemoryCheck::instance().access(p, bytes, false);
}
void __tsan_write_range(void* p, unsigned long bytes) {
  sfr::shim::MemoryCheck::instance().access(p, bytes, true);
}
}
