// A typed block of host or device memory. Owned by shared pointers: a graph that uses a tensor as state keeps
// it alive.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>

#include "core/dtype.h"
#include "core/shape.h"

namespace sfr {

/// Dtype and shape of a tensor or graph value.
struct TensorType {
  DType dtype = DType::f32;
  Shape shape;
  size_t bytes() const { return static_cast<size_t>(shape.count()) * dtype_bytes(dtype); }
  bool operator==(const TensorType& o) const { return dtype == o.dtype && shape == o.shape; }
  bool operator!=(const TensorType& o) const { return !(*this == o); }
  std::string text() const { return std::string(dtype_name(dtype)) + shape.text(); }
};

/// Borrowed view of a tensor inside a kernel. `data` is null where an optional input is absent.
struct TensorView {
  void* data = nullptr;
  TensorType type;
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  explicit operator bool() const { return data != nullptr; }
  int64_t count() const { return type.shape.count(); }
};

struct FreeDeleter {
  void operator()(std::byte* p) const;
};
using AlignedBytes = std::unique_ptr<std::byte, FreeDeleter>;

/// Page-aligned memory; zeroed by the operating system when first touched.
/// Throws Error(device) naming the bytes when there is not enough memory.
AlignedBytes allocate_bytes(size_t bytes);

/// Fills `bytes` with the pattern that stands beside guarded memory.
void set_guard(std::byte* p, size_t bytes);
/// Whether the pattern is still there.
bool guard_intact(const std::byte* p, size_t bytes);

class Device;

/// Another place for a tensor's elements, where they may be newer than at home.
class TensorTwin {
 public:
  virtual ~TensorTwin() = default;
  /// Copies them to `home` if they are newer; from here on those at home count.
  virtual void bring_home(std::byte* home) = 0;
};

class Tensor {
 public:
  /// A zero-filled tensor of host memory. `guarded`: a pattern stands before and behind its elements (for
  /// tests).
  explicit Tensor(TensorType type, bool guarded = false);
  /// A tensor in `memory` of a device, as it is (see Device::upload).
  Tensor(TensorType type, std::shared_ptr<std::byte> memory, const Device* device)
      : type_(type), memory_(std::move(memory)), device_(device) {}

  const TensorType& type() const { return type_; }
  /// The elements, to be read and written until the next run of a program that has them as state.
  std::byte* data() const {
    std::byte* home = memory_.get() + front_bytes_;
    if (twin_) twin_->bring_home(home);
    return home;
  }
  TensorView view() const { return {data(), type_}; }
  /// Whose memory this is; null: the host's, which alone may be read and written here.
  const Device* device() const { return device_; }
  /// Host tensors only; null: none.
  const std::shared_ptr<TensorTwin>& twin() const { return twin_; }
  void set_twin(std::shared_ptr<TensorTwin> twin);

  /// Where something was written beside the elements of a guarded tensor: "before" or "behind"; null when
  /// nowhere.
  const char* guard_fault() const;

  /// Fills the tensor from `path` at `offset` bytes; the file's bytes are little-endian elements.
  /// Throws Error(data) when the file is shorter than the tensor needs or cannot be read.
  void fill_from_file(const std::string& path, uint64_t offset);

 private:
  TensorType type_;
  size_t front_bytes_ = 0;
  std::shared_ptr<std::byte> memory_;
  const Device* device_ = nullptr;
  std::shared_ptr<TensorTwin> twin_;
};

using TensorPtr = std::shared_ptr<Tensor>;

}  // namespace sfr
