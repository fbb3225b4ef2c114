// A training step of V-Net, labelled only or with Mean Teacher, for the CPU or a device: what the tests
// compare and sfr_native_bench times where there is no Node. src/models/vnet.ts is what trains.
#pragma once
#include <map>

#include "graph/program.h"

namespace sfr::test {

/// V-Net with `levels` resolutions (the real one has 5, and 16 filters) on cubes of `side` voxels.
struct StepSize {
  int64_t levels = 2, filters = 4, side = 8, labelled = 1, unlabelled = 1;
  bool mean_teacher = false;
};

class TrainingStep {
 public:
  static constexpr int64_t kClasses = 2;

  /// On the CPU without a device. Weights depend on their names alone.
  TrainingStep(const StepSize& size, const std::shared_ptr<Device>& device, bool guards = false);

  /// Runs step `t` and returns its loss.
  float run(int32_t t);

  /// Everything that the step changes, by name; as it is now, on the host.
  std::map<std::string, TensorPtr> state() const;

  /// u8 [labelled, side, side, side], to be changed between steps.
  Tensor& labels() { return *inputs_.at(labels_); }
  const Program& program() const { return *program_; }

 private:
  ValueId node(const char* op, const std::vector<ValueId>& in, const AttributeMap& attributes = {});
  TensorPtr tensor(const std::string& name, const Shape& shape, double offset, double scale);
  ValueId parameter(const std::string& net, const std::string& name, const Shape& shape, double offset = 0);
  ValueId input(const std::string& name, const TensorPtr& content);
  ValueId scalar(const std::string& name, float value);

  ValueId normalised(const std::string& net, const std::string& name, ValueId x, ValueId skip = kNoValue);
  ValueId block(const std::string& net, const std::string& name, ValueId x, int64_t level);
  ValueId dropped(const std::string& net, const std::string& name, ValueId x);
  ValueId level(const std::string& net, ValueId x, int64_t level);
  ValueId vnet(const std::string& net, ValueId images);
  ValueId consistency(ValueId images, ValueId logits);
  void update(ValueId loss);

  const StepSize size_;
  const std::shared_ptr<Device> device_;
  Graph graph_;
  std::map<std::string, TensorPtr> tensors_;
  std::map<std::string, std::vector<ValueId>> parameters_;  // by network
  std::map<ValueId, TensorPtr> inputs_;
  ValueId rng_ = kNoValue, labels_ = kNoValue;
  std::unique_ptr<Program> program_;
};

}  // namespace sfr::test
