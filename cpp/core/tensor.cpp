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

Tensor::Tensor(TensorType type) : type_(type), data_(allocate_bytes(type.bytes())) {
  std::fill_n(data_.get(), type_.bytes(), std::byte{0});
}

void Tensor::fill_from_file(const std::string& path, uint64_t offset) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) throw Error(ErrorCode::data, "tensor: expected a readable file, received " + path);
  const size_t bytes = type_.bytes();
  if (fseeko(file.get(), static_cast<off_t>(offset), SEEK_SET) != 0 ||
      std::fread(data_.get(), 1, bytes, file.get()) != bytes)
    throw Error(ErrorCode::data, "tensor: expected " + std::to_string(bytes) + " bytes at offset " +
                                     std::to_string(offset) + " of " + path + ", the file ends before");
}

}  // namespace sfr
