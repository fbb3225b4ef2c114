// A device that programs run on, seen through its function table: libsfr_cuda's, which is loaded on demand,
// or another one that tests hand in.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "core/tensor.h"
#include "device/memory_pool.h"

namespace sfr {

struct Grid {
  uint32_t x = 1, y = 1, z = 1;
};

/// Host memory that copies to and from a device reach directly.
using PinnedBytes = std::shared_ptr<std::byte>;

/// A point in a device's stream.
using Event = std::shared_ptr<void>;

class Device {
 public:
  /// Device `ordinal` of libsfr_cuda at `path`, holding at most `budget` bytes of it (0: nine tenths of what
  /// is free). Throws Error(device) with what was found, what is needed and a cure when there is no such
  /// library, driver or card.
  static std::shared_ptr<Device> load(const std::string& path, int ordinal, size_t budget);

  /// The same through a table; `table` must outlive the device and all of its memory.
  Device(const SfrDeviceTable& table, int ordinal, size_t budget);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// "cuda:0 NVIDIA H200", "shim:0 ..."
  const std::string& name() const { return name_; }
  MemoryPool& memory() { return *memory_; }
  PinnedBytes allocate_pinned(size_t bytes);
  /// The device's one stream, for libraries that are to work in it.
  void* stream() const { return stream_; }

  /// Copies from host memory to the device and back, in pieces, and waits for it. Not under a lease.
  void write(void* to, const void* from, size_t bytes);
  void read(void* to, const void* from, size_t bytes);

  /// A device tensor with the elements of a host tensor.
  TensorPtr upload(const Tensor& host);
  /// Copies a tensor of this device into a host tensor of its type; waits for it.
  void download(const Tensor& from, Tensor& to);

  // Everything below goes into the device's one stream, in order. Throws Error(device) with the device's own
  // words when it is refused.
  void copy(void* to, const void* from, size_t bytes);
  void fill(void* memory, int byte, size_t bytes);
  void launch(const char* kernel, Grid grid, uint32_t block, const void* args, size_t args_bytes);
  void launch_graph(void* graph);
  void synchronize();

  Event create_event();
  void record(const Event& event);
  /// From one event to a later one; both have passed.
  double seconds(const Event& from, const Event& to) const;

  /// What `work` puts into the stream, as one graph that its owner destroys; nothing of it runs. When `work`
  /// throws, nothing is left of it.
  void* capture(const std::function<void()>& work);
  void destroy_graph(void* graph) { table_.destroy_graph(graph); }

  /// Whether launches can be confined to regions, and their confinement.
  bool can_watch() const { return table_.watch != nullptr; }
  void watch(const std::vector<SfrRegion>& regions) { table_.watch(regions.data(), regions.size()); }

  /// Memory that all programs of the device share, one of which runs at a time.
  class Lease {
   public:
    explicit Lease(Device& device);
    /// At least `bytes`; another address than before only when it had to grow.
    std::byte* arena(size_t bytes);

   private:
    std::unique_lock<std::mutex> lock_;
    Device& device_;
  };

 private:
  void check(int status, const char* what) const;
  /// Calls copy_piece(offset, bytes) for pieces that the staging memory holds.
  void in_pieces(size_t bytes, const std::function<void(size_t, size_t)>& copy_piece);

  const SfrDeviceTable& table_;
  const int ordinal_;
  std::string name_;
  std::shared_ptr<MemoryPool> memory_;
  void* stream_ = nullptr;
  std::mutex mutex_;
  PinnedBytes staging_;  // of write and read; made for the first of them
  DeviceBytes arena_;
  size_t arena_bytes_ = 0;
};

}  // namespace sfr
