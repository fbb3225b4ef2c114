#include "native/training_step.h"

#include <cmath>
#include <cstring>

#include "core/rng.h"

namespace sfr::test {

TensorPtr normals(const Shape& shape, const std::string& name, double offset, double scale) {
  auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
  for (int64_t i = 0; i < shape.count(); ++i) {
    const auto w = philox({5, 0, stream_id(name)}, static_cast<uint64_t>(i));
    t->view().as<float>()[i] = static_cast<float>(offset + scale * normals_from_words(w[0], w[1])[0]);
  }
  return t;
}

ValueId TrainingStep::node(const char* op, const std::vector<ValueId>& in, const AttributeMap& attributes) {
  return graph_.add_node(op, in, attributes, op)[0];
}

ValueId TrainingStep::reshape(ValueId x, const std::vector<int64_t>& shape) {
  return node("reshape", {x}, {{"shape", std::vector<double>(shape.begin(), shape.end())}});
}

ValueId TrainingStep::constant(const std::string& name, const Shape& shape, double offset, double scale) {
  TensorPtr& t = tensors_[name];
  // A teacher begins as its student: what stands before the slash does not count.
  t = normals(shape, name.substr(name.find('/')), offset, scale);
  return graph_.add_persistent(t, name);
}

ValueId TrainingStep::half_constant(const std::string& name, const Shape& shape, double scale) {
  const TensorPtr wide = normals(shape, name, 0, scale);
  auto half = std::make_shared<Tensor>(TensorType{DType::bf16, shape});
  for (int64_t i = 0; i < shape.count(); ++i)  // the upper half: any bf16 will do
    std::memcpy(half->data() + 2 * i, wide->data() + 4 * i + 2, 2);
  return graph_.add_persistent(half, name);
}

ValueId TrainingStep::parameter(const std::string& net, const std::string& name, const Shape& shape,
                                double offset) {
  const int64_t inputs = std::max<int64_t>(shape.count() / shape.back(), 4);
  const double scale = offset != 0 ? 0.1 : 1 / std::sqrt(static_cast<double>(inputs));
  const ValueId v = constant(net + name, shape, offset, scale);
  parameters_[net].push_back(v);
  return v;
}

ValueId TrainingStep::input(const std::string& name, const TensorPtr& content) {
  const ValueId v = graph_.add_input(name, content->type());
  inputs_[v] = content;
  return v;
}

ValueId TrainingStep::scalar(const std::string& name, float value) {
  auto t = std::make_shared<Tensor>(TensorType{DType::f32, Shape{}});
  *t->view().as<float>() = value;
  return input(name, t);
}

ValueId TrainingStep::add_labels(const Shape& shape) {
  auto t = std::make_shared<Tensor>(TensorType{DType::u8, shape});
  for (int64_t i = 0; i < shape.count(); ++i)
    t->view().as<uint8_t>()[i] = static_cast<uint8_t>(i % shape.back() < shape.back() / 2 ? 1 : 0);
  return labels_ = input("labels", t);
}

ValueId TrainingStep::supervised_loss(ValueId logits, ValueId labels) {
  const auto losses = graph_.add_node("segmentation_loss", {logits, labels}, {}, "loss");
  return node("affine", {node("add", {losses[0], losses[1]})}, {{"factor", 0.5}});
}

ValueId TrainingStep::dropped(const std::string& name, ValueId x, double rate) {
  if (rng_ == kNoValue) rng_ = input("rng", std::make_shared<Tensor>(TensorType{DType::i32, {3}}));
  return node("dropout", {x, rng_}, {{"rate", rate}, {"channels", true}, {"stream", name}});
}

ValueId TrainingStep::linear(const std::string& net, const std::string& name, ValueId x, int64_t out) {
  const ValueId weight = parameter(net, name + "/weight", {shape(x).back(), out});
  return node("linear", {x, weight, parameter(net, name + "/bias", {out})});
}

void TrainingStep::add_sgd(const std::string& net, ValueId loss) {
  const std::vector<ValueId>& trained = parameters_[net];
  const auto gradients = graph_.add_gradients(loss, trained);
  std::vector<ValueId> in = {scalar("learningRate", 0.05f)};
  for (size_t i = 0; i < trained.size(); ++i)
    in.insert(in.end(),
              {trained[i], gradients[i], moment("/momentum" + std::to_string(i), shape(trained[i]))});
  graph_.add_node("sgd", in, {{"momentum", 0.9}, {"weightDecay", 1e-4}}, "sgd");
}

void TrainingStep::add_adamw(const std::string& net, ValueId loss) {
  const std::vector<ValueId>& trained = parameters_[net];
  const auto gradients = graph_.add_gradients(loss, trained);
  step_ = scalar("step", 1);
  std::vector<ValueId> in = {scalar("learningRate", 1e-3f), step_};
  for (size_t i = 0; i < trained.size(); ++i) {
    const std::string number = std::to_string(i);
    in.insert(in.end(), {trained[i], gradients[i], moment("/first" + number, shape(trained[i])),
                         moment("/second" + number, shape(trained[i]))});
  }
  // A large epsilon: else the sign of a gradient that is nothing but rounding moves a weight by a whole step.
  graph_.add_node("adamw", in, {{"epsilon", 1e-3}, {"weightDecay", 0.1}}, "adamw");
}

void TrainingStep::compile(ValueId loss, StepRun run, bool bf16) {
  program_ = std::make_unique<Program>(
      graph_, std::vector<ValueId>{loss},
      CompileOptions{true, run == StepRun::guarded, false, device_, run == StepRun::timed, bf16});
}

float TrainingStep::run(int32_t t) {
  const int32_t words[3] = {11, 0, t};
  if (rng_ != kNoValue) std::memcpy(inputs_.at(rng_)->data(), words, sizeof words);
  if (step_ != kNoValue) *inputs_.at(step_)->view().as<float>() = static_cast<float>(t + 1);
  const std::atomic<bool> never{false};
  program_->run(inputs_, never);
  return *program_->outputs()[0]->view().as<float>();
}

std::map<std::string, TensorPtr> TrainingStep::state() const {
  std::map<std::string, TensorPtr> copy;
  for (const auto& entry : tensors_) {
    auto host = std::make_shared<Tensor>(entry.second->type());
    std::memcpy(host->data(), entry.second->data(), host->type().bytes());
    copy[entry.first] = host;
  }
  return copy;
}

}  // namespace sfr::test
