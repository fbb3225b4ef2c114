// State whose home is host memory, on a device: programs there change the copy, and whoever asks the tensor
// for its elements gets them back first.
#pragma once
#include "core/tensor.h"
#include "device/device.h"

namespace sfr {

class Mirror final : public TensorTwin {
 public:
  Mirror(std::shared_ptr<Device> device, const TensorType& type);

  /// The mirror of a host tensor on `device`; made on first request, and again for another device.
  static std::shared_ptr<Mirror> of(Tensor& host, const std::shared_ptr<Device>& device);

  std::byte* address() const { return memory_.get(); }
  /// Copies the host's elements to the device if they are newer. Not under the device's lease.
  void send(const Tensor& host);
  /// Says that the device has changed its copy.
  void set_changed() { newest_ = Newest::device; }

  void bring_home(std::byte* home) override;

 private:
  enum class Newest { host, both, device };

  const std::shared_ptr<Device> device_;
  const size_t bytes_;
  const DeviceBytes memory_;
  Newest newest_ = Newest::host;
};

}  // namespace sfr
