// What training steps of small networks are made of, for the CPU or a device: the tests compare them and
// sfr_native_bench times them where there is no Node. src/models is what trains.
#pragma once
#include <map>

#include "graph/program.h"

namespace sfr::test {

/// As it trains; guarded (CompileOptions::guards); or with each node timed on a device.
enum class StepRun { plain, guarded, timed };

/// A graph whose weights depend on their names alone; derived classes build it and compile it.
class TrainingStep {
 public:
  /// Runs step `t` and returns its loss.
  float run(int32_t t);

  /// Everything that the step changes, by name; as it is now, on the host.
  std::map<std::string, TensorPtr> state() const;

  /// u8, of the shape that the network labels; to be changed between steps.
  Tensor& labels() { return *inputs_.at(labels_); }
  const Program& program() const { return *program_; }

 protected:
  /// On the CPU without a device.
  explicit TrainingStep(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  ~TrainingStep() = default;

  ValueId node(const char* op, const std::vector<ValueId>& in, const AttributeMap& attributes = {});
  ValueId reshape(ValueId x, const std::vector<int64_t>& shape);
  Shape shape(ValueId v) const { return graph_.type(v).shape; }

  /// State: a parameter of network `net`, which the optimiser trains, a tensor that it does not, or moments.
  ValueId parameter(const std::string& net, const std::string& name, const Shape& shape, double offset = 0);
  ValueId constant(const std::string& name, const Shape& shape, double offset, double scale);
  /// The same in bf16.
  ValueId half_constant(const std::string& name, const Shape& shape, double scale);
  ValueId moment(const std::string& name, const Shape& shape) { return constant(name, shape, 0, 0); }

  ValueId input(const std::string& name, const TensorPtr& content);
  ValueId scalar(const std::string& name, float value);
  /// The input `labels`: half of each row is the object.
  ValueId add_labels(const Shape& shape);
  /// Half cross-entropy, half Dice.
  ValueId supervised_loss(ValueId logits, ValueId labels);
  ValueId dropped(const std::string& name, ValueId x, double rate);
  /// Weight [in, out] and bias.
  ValueId linear(const std::string& net, const std::string& name, ValueId x, int64_t out);

  /// The gradients of the loss, and an update of all parameters of a network.
  void add_sgd(const std::string& net, ValueId loss);
  void add_adamw(const std::string& net, ValueId loss);
  /// `bf16`: activations are stored so, on a device.
  void compile(ValueId loss, StepRun run, bool bf16);

  const std::shared_ptr<Device> device_;
  Graph graph_;
  std::map<std::string, std::vector<ValueId>> parameters_;  // by network
  ValueId rng_ = kNoValue;

 private:
  std::map<std::string, TensorPtr> tensors_;
  std::map<ValueId, TensorPtr> inputs_;
  ValueId labels_ = kNoValue, step_ = kNoValue;
  std::unique_ptr<Program> program_;
};

/// Normal numbers that depend on the name.
TensorPtr normals(const Shape& shape, const std::string& name, double offset, double scale);

}  // namespace sfr::test
