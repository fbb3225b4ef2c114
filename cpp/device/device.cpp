#include "device/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>

namespace sfr {

namespace {

/// Pinned memory takes the driver milliseconds to give: it is kept, and large tensors pass in pieces.
constexpr size_t kStagingBytes = size_t{8} << 20;

const SfrDeviceTable& load_table(const std::string& path) {
  // Never unloaded: memory and streams of the library may outlive any owner here.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    throw Error(ErrorCode::device, "cuda: expected libsfr_cuda at " + path + ", received " + dlerror() +
                                       "; build it with nvcc: cmake --build build --target sfr_cuda");
  using Export = const SfrDeviceTable* (*)();
  const auto table = reinterpret_cast<Export>(dlsym(library, SFR_DEVICE_TABLE_SYMBOL));
  if (table == nullptr || table()->version != SFR_DEVICE_TABLE_VERSION)
    throw Error(ErrorCode::device, "cuda: expected version " + std::to_string(SFR_DEVICE_TABLE_VERSION) +
                                       " of libsfr_cuda, received " +
                                       (table ? "version " + std::to_string(table()->version) : "none") +
                                       " in " + path + "; build it again");
  return *table();
}

}  // namespace

std::shared_ptr<Device> Device::load(const std::string& path, int ordinal, size_t budget) {
  return std::make_shared<Device>(load_table(path), ordinal, budget);
}

Device::Device(const SfrDeviceTable& table, int ordinal, size_t budget) : table_(table), ordinal_(ordinal) {
  SfrDeviceInfo info{};
  const int status = table_.use(ordinal, &info);
  if (status != 0)
    throw Error(ErrorCode::device, std::string(table_.kind) + ": expected a card " + std::to_string(ordinal) +
                                       " and a driver for it, received '" + table_.error_text(status) +
                                       "'; look at nvidia-smi, or run on the CPU");
  name_ = std::string(table_.kind) + ":" + std::to_string(ordinal) + " " + info.name;
  memory_ = std::make_shared<MemoryPool>(table_, budget != 0 ? budget : info.free_bytes / 10 * 9);
  check(table_.create_stream(&stream_), "stream");
}

Device::~Device() {
  table_.destroy_stream(stream_);
}

void Device::check(int status, const char* what) const {
  if (status != 0)
    throw Error(ErrorCode::device,
                name_ + ": expected " + what + " to succeed, received '" + table_.error_text(status) + "'");
}

PinnedBytes Device::allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  check(table_.allocate_pinned(bytes, &memory), "an allocation of pinned memory");
  return PinnedBytes(static_cast<std::byte*>(memory),
                     [&table = table_](std::byte* block) { table.release_pinned(block); });
}

void Device::in_pieces(size_t bytes, const std::function<void(size_t, size_t)>& copy_piece) {
  if (!staging_) staging_ = allocate_pinned(kStagingBytes);
  for (size_t offset = 0; offset < bytes; offset += kStagingBytes)
    copy_piece(offset, std::min(bytes - offset, kStagingBytes));
}

void Device::write(void* to, const void* from, size_t bytes) {
  const Lease lease(*this);
  in_pieces(bytes, [&](size_t offset, size_t piece) {
    std::memcpy(staging_.get(), static_cast<const std::byte*>(from) + offset, piece);
    copy(static_cast<std::byte*>(to) + offset, staging_.get(), piece);
    synchronize();
  });
}

void Device::read(void* to, const void* from, size_t bytes) {
  const Lease lease(*this);
  in_pieces(bytes, [&](size_t offset, size_t piece) {
    copy(staging_.get(), static_cast<const std::byte*>(from) + offset, piece);
    synchronize();
    std::memcpy(static_cast<std::byte*>(to) + offset, staging_.get(), piece);
  });
}

TensorPtr Device::upload(const Tensor& host) {
  const size_t bytes = host.type().bytes();
  const auto tensor = std::make_shared<Tensor>(host.type(), memory_->allocate(bytes), this);
  write(tensor->data(), host.data(), bytes);
  return tensor;
}

void Device::download(const Tensor& from, Tensor& to) {
  read(to.data(), from.data(), from.type().bytes());
}

void Device::copy(void* to, const void* from, size_t bytes) {
  check(table_.copy(to, from, bytes, stream_), "a copy");
}

void Device::fill(void* memory, int byte, size_t bytes) {
  check(table_.fill(memory, byte, bytes, stream_), "a fill");
}

void Device::launch(const char* kernel, Grid grid, uint32_t block, const void* args, size_t args_bytes) {
  const uint32_t blocks[3] = {grid.x, grid.y, grid.z};
  check(table_.launch(kernel, blocks, block, args, args_bytes, stream_), kernel);
}

void Device::launch_graph(void* graph) {
  check(table_.launch_graph(graph, stream_), "a captured step");
}

void Device::synchronize() {
  check(table_.synchronize(stream_), "the work before");
}

Event Device::create_event() {
  void* event = nullptr;
  check(table_.create_event(&event), "an event");
  return Event(event, [&table = table_](void* e) { table.destroy_event(e); });
}

void Device::record(const Event& event) {
  check(table_.record_event(event.get(), stream_), "an event");
}

double Device::seconds(const Event& from, const Event& to) const {
  double seconds = 0;
  check(table_.elapsed(from.get(), to.get(), &seconds), "the time between two events");
  return seconds;
}

void* Device::capture(const std::function<void()>& work) {
  void* graph = nullptr;
  check(table_.begin_capture(stream_), "a capture");
  try {
    work();
  } catch (...) {
    // Else the stream would go on recording. What went wrong may have ended the capture already.
    if (table_.end_capture(stream_, &graph) == 0) destroy_graph(graph);
    throw;
  }
  check(table_.end_capture(stream_, &graph), "a capture");
  return graph;
}

Device::Lease::Lease(Device& device) : lock_(device.mutex_), device_(device) {
  device.check(device.table_.use(device.ordinal_, nullptr), "to become the current one");
}

std::byte* Device::Lease::arena(size_t bytes) {
  if (bytes > device_.arena_bytes_) {
    device_.arena_.reset();
    device_.arena_bytes_ = 0;
    device_.arena_ = device_.memory_->allocate(bytes);
    device_.arena_bytes_ = bytes;
  }
  return device_.arena_.get();
}

}  // namespace sfr
