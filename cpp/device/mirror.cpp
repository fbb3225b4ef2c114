#include "device/mirror.h"

namespace sfr {

Mirror::Mirror(std::shared_ptr<Device> device, const TensorType& type)
    : device_(std::move(device)), bytes_(type.bytes()), memory_(device_->memory().allocate(bytes_)) {}

std::shared_ptr<Mirror> Mirror::of(Tensor& host, const std::shared_ptr<Device>& device) {
  auto mirror = std::dynamic_pointer_cast<Mirror>(host.twin());
  if (mirror != nullptr && mirror->device_ == device) return mirror;
  mirror = std::make_shared<Mirror>(device, host.type());
  host.set_twin(mirror);
  return mirror;
}

void Mirror::send(const Tensor& host) {
  if (newest_ != Newest::host) return;
  device_->write(memory_.get(), host.data(), bytes_);
  newest_ = Newest::both;
}

void Mirror::bring_home(std::byte* home) {
  if (newest_ == Newest::device) device_->read(home, memory_.get(), bytes_);
  newest_ = Newest::host;  // whoever asked may write
}

}  // namespace sfr
