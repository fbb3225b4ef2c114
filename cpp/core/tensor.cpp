#include "core/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace sfr {

void FreeDeleter::operator()(std::byte* p) const {
  std::free(p);
}

AlignedBytes allocate_bytes(size_t bytes) {
  constexpr size_t kPage = 4096, kHugePage = size_t{2} << 20;
  const size_t alignment = bytes >= kHugePage ? kHugePage : kPage;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  auto* p = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded ? rounded : alignment));
  if (p == nullptr)
    throw Error(ErrorCode::device,
                "memory: expected " + std::to_string(bytes) +
                    " bytes to be available, the system refused; use a smaller patch or batch");
  // Activations are streamed through: huge pages save most of the address-translation misses.
  if (alignment == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);
  return AlignedBytes(p);
}

namespace {

constexpr std::byte kGuardPattern{0xA5};
// A page on either side, so that a guarded tensor is aligned as others are.
constexpr size_t kTensorGuardBytes = 4096;

}  // namespace

void set_guard(std::byte* p, size_t bytes) {
  std::fill_n(p, bytes, kGuardPattern);
}

bool guard_intact(const std::byte* p, size_t bytes) {
  return std::all_of(p, p + bytes, [](std::byte b) { return b == kGuardPattern; });
}

Tensor::Tensor(TensorType type, bool guarded)
    : type_(type),
      front_bytes_(guarded ? kTensorGuardBytes : 0),
      memory_(allocate_bytes(type.bytes() + 2 * front_bytes_)) {
  set_guard(memory_.get(), front_bytes_);
  std::fill_n(data(), type_.bytes(), std::byte{0});
  set_guard(data() + type_.bytes(), front_bytes_);
}

void Tensor::set_twin(std::shared_ptr<TensorTwin> twin) {
  data();  // what the one before has
  twin_ = std::move(twin);
}

const char* Tensor::guard_fault() const {
  if (device_ != nullptr) return nullptr;
  if (!guard_intact(memory_.get(), front_bytes_)) return "before";
  return guard_intact(data() + type_.bytes(), front_bytes_) ? nullptr : "behind";
}

void Tensor::fill_from_file(const std::string& path, uint64_t offset) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw Error(ErrorCode::data, "tensor: expected a readable file, received " + path);
  const size_t bytes = type_.bytes();
  if (fseeko(file.get(), static_cast<off_t>(offset), SEEK_SET) != 0 ||
      std::fread(data(), 1, bytes, file.get()) != bytes)
    throw Error(ErrorCode::data, "tensor: expected " + std::to_string(bytes) + " bytes at offset " +
                                     std::to_string(offset) + " of " + path + ", the file ends before");
}

}  // namespace sfr
