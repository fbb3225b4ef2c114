// A training step of the 3D U-Net on labelled crops; src/models/unet3d.ts.
#pragma once
#include "native/training_step.h"

namespace sfr::test {

/// 3D U-Net with `levels` resolutions (the real one has 5, and 16 filters) on volumes [z][y][x].
struct UnetSize {
  int64_t levels = 2, filters = 4, batch = 1;
  Shape volume{8, 8, 8};
  bool bf16 = false;  // activations, on a device
};

class UnetStep final : public TrainingStep {
 public:
  UnetStep(const UnetSize& size, const std::shared_ptr<Device>& device, StepRun run = StepRun::plain);

 private:
  ValueId block(const std::string& name, ValueId x, int64_t out);
  ValueId level(ValueId x, int64_t level);
  ValueId resized(ValueId x, const Shape& volume);

  const UnetSize size_;
};

}  // namespace sfr::test
