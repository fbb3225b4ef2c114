#include "native/shim/shim_device.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <map>

#include "cuda/kernel.h"
#include "native/shim/fibres.h"
#include "native/shim/memory_check.h"

namespace sfr::shim {

namespace {

constexpr size_t kCardBytes = size_t{1} << 30;
constexpr int kCards = 2;

using Captured = std::vector<std::function<int()>>;

enum Status { kFine, kNoMemory, kNoDevice, kCapturing, kUnknownKernel, kFault };

struct State {
  std::map<void*, std::pair<AlignedBytes, size_t>> memory;
  size_t bytes = 0;
  std::string fault;                  // of the last launch that failed
  std::unique_ptr<Captured> capture;  // while one is recorded
};

State& state() {
  static State s;
  return s;
}

/// Runs it now, or when the capture is launched.
int enqueue(std::function<int()> work) {
  if (!state().capture) return work();
  state().capture->push_back(std::move(work));
  return kFine;
}

const char* error_text(int status) {
  switch (status) {
    case kNoMemory:
      return "out of memory";
    case kNoDevice:
      return "no such device";
    case kCapturing:
      return "not while the stream is captured";
    case kUnknownKernel:
    case kFault:
      return state().fault.c_str();
  }
  return "no error";
}

int use(int ordinal, SfrDeviceInfo* info) {
  if (ordinal >= kCards) return kNoDevice;
  if (info != nullptr) {
    std::strcpy(info->name, "launch shim");
    info->memory_bytes = kCardBytes;
    info->free_bytes = kCardBytes - state().bytes;
  }
  return kFine;
}

int allocate(size_t bytes, void** memory) {
  if (bytes > kCardBytes - state().bytes) return kNoMemory;
  AlignedBytes block = allocate_bytes(bytes);
  *memory = block.get();
  std::memset(*memory, 0xFF, bytes);
  MemoryCheck::instance().add_allocation(*memory, bytes);
  state().bytes += bytes;
  state().memory[*memory] = {std::move(block), bytes};
  return kFine;
}

int release(void* memory) {
  MemoryCheck::instance().remove_allocation(memory);
  state().bytes -= state().memory.at(memory).second;
  state().memory.erase(memory);
  return kFine;
}

int allocate_pinned(size_t bytes, void** memory) {
  *memory = allocate_bytes(bytes).release();
  return kFine;
}

int release_pinned(void* memory) {
  FreeDeleter()(static_cast<std::byte*>(memory));
  return kFine;
}

int create_stream(void** stream) {
  *stream = &state();
  return kFine;
}

int destroy_stream(void*) {
  return kFine;
}

int synchronize(void*) {
  return state().capture ? kCapturing : kFine;
}

int copy(void* to, const void* from, size_t bytes, void*) {
  return enqueue([=] {
    std::memcpy(to, from, bytes);
    return kFine;
  });
}

int fill(void* memory, int byte, size_t bytes, void*) {
  return enqueue([=] {
    std::memset(memory, byte, bytes);
    return kFine;
  });
}

int launch(const char* kernel, const uint32_t grid[3], uint32_t block, const void* args, size_t args_bytes,
           void*) {
  const cuda::KernelEntry* entry = cuda::find_kernel(kernel);
  if (entry == nullptr || entry->args_bytes != args_bytes) {
    state().fault = entry ? "another parameter" : "no such kernel";
    return kUnknownKernel;
  }
  const auto* begin = static_cast<const std::byte*>(args);
  return enqueue([entry, block, blocks = std::array<uint32_t, 3>{grid[0], grid[1], grid[2]},
                  own = std::vector<std::byte>(begin, begin + args_bytes)] {
    state().fault = run_blocks(blocks.data(), block, entry->call, own.data(), own.size());
    return state().fault.empty() ? kFine : kFault;
  });
}

using Clock = std::chrono::steady_clock;

int create_event(void** event) {
  *event = std::make_unique<Clock::time_point>().release();
  return kFine;
}

int destroy_event(void* event) {
  const std::unique_ptr<Clock::time_point> owned(static_cast<Clock::time_point*>(event));
  return kFine;
}

int record_event(void* event, void*) {
  return enqueue([=] {
    *static_cast<Clock::time_point*>(event) = Clock::now();
    return kFine;
  });
}

int elapsed(void* from, void* to, double* seconds) {
  const std::chrono::duration<double> taken =
      *static_cast<Clock::time_point*>(to) - *static_cast<Clock::time_point*>(from);
  *seconds = taken.count();
  return kFine;
}

int begin_capture(void*) {
  if (state().capture) return kCapturing;
  state().capture = std::make_unique<Captured>();
  return kFine;
}

int end_capture(void*, void** graph) {
  *graph = state().capture.release();
  return kFine;
}

int launch_graph(void* graph, void*) {
  for (const auto& work : *static_cast<Captured*>(graph))
    if (const int status = work()) return status;
  return kFine;
}

int destroy_graph(void* graph) {
  const std::unique_ptr<Captured> owned(static_cast<Captured*>(graph));
  return kFine;
}

void watch(const SfrRegion* regions, size_t count) {
  MemoryCheck::instance().confine({regions, regions + count});
}

}  // namespace

const SfrDeviceTable& shim_table() {
#define SFR_TABLE_ENTRY(name) &name
  static const SfrDeviceTable table = {SFR_DEVICE_TABLE_VERSION, "shim",
                                       SFR_DEVICE_FUNCTIONS(SFR_TABLE_ENTRY), &watch};
#undef SFR_TABLE_ENTRY
  return table;
}

size_t bytes_allocated() {
  return state().bytes;
}

}  // namespace sfr::shim
