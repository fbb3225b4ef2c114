// A training step of V-Net, labelled only or with Mean Teacher; src/models/vnet.ts.
#pragma once
#include "native/training_step.h"

namespace sfr::test {

/// V-Net with `levels` resolutions (the real one has 5, and 16 filters) on volumes [z][y][x].
struct VnetSize {
  int64_t levels = 2, filters = 4, labelled = 1, unlabelled = 1;
  Shape volume{8, 8, 8};
  bool mean_teacher = false;
  bool bf16 = false;  // activations, on a device
};

class VnetStep final : public TrainingStep {
 public:
  VnetStep(const VnetSize& size, const std::shared_ptr<Device>& device, StepRun run = StepRun::plain);

 private:
  ValueId normalised(const std::string& net, const std::string& name, ValueId x, ValueId skip = kNoValue);
  ValueId block(const std::string& net, const std::string& name, ValueId x, int64_t level);
  ValueId level(const std::string& net, ValueId x, int64_t level);
  ValueId vnet(const std::string& net, ValueId images);
  ValueId consistency(ValueId images, ValueId logits);

  const VnetSize size_;
};

}  // namespace sfr::test
