// A fine-tuning step of SAM with LoRA on canvases; src/models/sam, src/finetune/step.ts.
#pragma once
#include "native/training_step.h"

namespace sfr::test {

/// Sizes of the network; `tiny` is width 96, depth 4, heads 3, decoder 256 and 2048. Every second block is
/// global.
struct SamSize {
  int64_t canvas = 64, batch = 1, patch = 16, width = 12, depth = 2, heads = 2, window = 3;
  int64_t decoder_width = 16, decoder_mlp = 24, decoder_heads = 2, classes = 2, rank = 2;
  bool bf16 = false;              // the frozen weights of linear layers
  bool bf16_activations = false;  // on a device
};

class SamStep final : public TrainingStep {
 public:
  SamStep(const SamSize& size, const std::shared_ptr<Device>& device, StepRun run = StepRun::plain);

 private:
  ValueId norm(const std::string& net, const std::string& name, ValueId x);
  ValueId updated_linear(const std::string& name, ValueId x, int64_t out, const std::vector<double>& begins);
  ValueId frozen_weight(const std::string& name, const Shape& shape);
  ValueId encoder_block(const std::string& name, ValueId x, bool is_global);
  ValueId image_encoder(ValueId canvases);
  ValueId attend(const std::string& name, ValueId q, ValueId k, ValueId v, int64_t inner);
  ValueId up(const std::string& name, ValueId x, int64_t out);
  ValueId mask_kernels(ValueId queries);
  ValueId mask_decoder(ValueId image);

  const SamSize size_;
};

}  // namespace sfr::test
