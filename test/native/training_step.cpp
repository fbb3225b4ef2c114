#include "native/training_step.h"

#include <cmath>
#include <cstring>

#include "core/rng.h"

namespace sfr::test {

namespace {

TensorPtr normals(const Shape& shape, const std::string& name, double offset, double scale) {
  auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
  for (int64_t i = 0; i < shape.count(); ++i) {
    const auto w = philox({5, 0, stream_id(name)}, static_cast<uint64_t>(i));
    t->view().as<float>()[i] = static_cast<float>(offset + scale * normals_from_words(w[0], w[1])[0]);
  }
  return t;
}

/// Half of each volume is the object, in slabs.
TensorPtr slabs(const Shape& shape) {
  auto t = std::make_shared<Tensor>(TensorType{DType::u8, shape});
  for (int64_t i = 0; i < shape.count(); ++i)
    t->view().as<uint8_t>()[i] = static_cast<uint8_t>(i % shape[3] < shape[3] / 2 ? 1 : 0);
  return t;
}

}  // namespace

TrainingStep::TrainingStep(const StepSize& size, const std::shared_ptr<Device>& device, bool guards)
    : size_(size), device_(device) {
  const int64_t n = size.side, batch = size.labelled + (size.mean_teacher ? size.unlabelled : 0);
  rng_ = input("rng", std::make_shared<Tensor>(TensorType{DType::i32, {3}}));
  labels_ = input("labels", slabs({size.labelled, n, n, n}));
  const ValueId images = input("images", normals({batch, n, n, n, 1}, "images", 0, 1));
  const ValueId logits = vnet("student", images);
  const ValueId labelled = node("slice", {logits}, {{"end", static_cast<double>(size.labelled)}});
  const auto losses = graph_.add_node("segmentation_loss", {labelled, labels_}, {}, "loss");
  ValueId loss = node("affine", {node("add", {losses[0], losses[1]})}, {{"factor", 0.5}});
  if (size.mean_teacher) loss = node("add", {loss, consistency(images, logits)});
  update(loss);
  program_ = std::make_unique<Program>(graph_, std::vector<ValueId>{loss},
                                       CompileOptions{true, guards, false, device});
}

ValueId TrainingStep::node(const char* op, const std::vector<ValueId>& in, const AttributeMap& attributes) {
  return graph_.add_node(op, in, attributes, op)[0];
}

TensorPtr TrainingStep::tensor(const std::string& name, const Shape& shape, double offset, double scale) {
  TensorPtr& t = tensors_[name];
  // The teacher begins as the student.
  t = normals(shape, name.substr(name.find('/')), offset, scale);
  if (device_) t = device_->upload(*t);
  return t;
}

ValueId TrainingStep::parameter(const std::string& net, const std::string& name, const Shape& shape,
                                double offset) {
  const int64_t inputs = std::max<int64_t>(shape.count() / shape.back(), 4);
  const double scale = offset != 0 ? 0.1 : 1 / std::sqrt(static_cast<double>(inputs));
  const ValueId v = graph_.add_persistent(tensor(net + name, shape, offset, scale), net + name);
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

/// relu(batch_norm(x)) + skip.
ValueId TrainingStep::normalised(const std::string& net, const std::string& name, ValueId x, ValueId skip) {
  const Shape shape = graph_.type(x).shape, channels{shape.back()};
  const ValueId scale = parameter(net, name + "/scale", channels, 1);
  const ValueId shift = parameter(net, name + "/shift", channels);
  const ValueId mean = graph_.add_persistent(tensor(net + name + "/mean", channels, 0, 0), "mean");
  const ValueId variance =
      graph_.add_persistent(tensor(net + name + "/variance", channels, 1, 0), "variance");
  const auto y = graph_.add_node("batch_norm", {x, scale, shift, mean, variance}, {}, name);
  graph_.add_node("batch_norm_update", {mean, variance, y[1], y[2]},
                  {{"count", static_cast<double>(shape.count() / shape.back())}}, name);
  const ValueId open = node("relu", {y[0]});
  return skip == kNoValue ? open : node("add", {open, skip});
}

/// One to three convolutions, as V-Net has them on its levels.
ValueId TrainingStep::block(const std::string& net, const std::string& name, ValueId x, int64_t level) {
  const int64_t out = size_.filters << level;
  for (int64_t i = 0; i < std::min<int64_t>(level + 1, 3); ++i) {
    const std::string layer = name + "/" + std::to_string(i);
    const ValueId weight = parameter(net, layer + "/weight", {3, 3, 3, graph_.type(x).shape.back(), out});
    x = normalised(net, layer, node("conv3d", {x, weight, parameter(net, layer + "/bias", {out})}));
  }
  return x;
}

ValueId TrainingStep::dropped(const std::string& net, const std::string& name, ValueId x) {
  return node("dropout", {x, rng_}, {{"rate", 0.5}, {"channels", true}, {"stream", net + name}});
}

/// What comes of x on a level and those below it.
ValueId TrainingStep::level(const std::string& net, ValueId x, int64_t l) {
  const std::string name = "/" + std::to_string(l);
  const int64_t f = size_.filters << l;
  const std::vector<double> two = {2, 2, 2};
  const ValueId y = block(net, name + "/encoder", x, l);
  if (l + 1 == size_.levels) return dropped(net, "/bottleneck", y);
  const ValueId down = node("linear", {node("space_to_depth", {y}, {{"block", two}}),
                                       parameter(net, name + "/down/weight", {8 * f, 2 * f}),
                                       parameter(net, name + "/down/bias", {2 * f})});
  const ValueId below = level(net, normalised(net, name + "/down", down), l + 1);
  const ValueId wide = node("linear", {below, parameter(net, name + "/up/weight", {2 * f, 8 * f})});
  const ValueId up = node("depth_to_space", {wide, parameter(net, name + "/up/bias", {f})}, {{"block", two}});
  return block(net, name + "/decoder", normalised(net, name + "/up", up, y), l);
}

/// Logits [N, D, H, W, K].
ValueId TrainingStep::vnet(const std::string& net, ValueId images) {
  const ValueId y = dropped(net, "/head", level(net, images, 0));
  return node("linear", {y, parameter(net, "/head/weight", {size_.filters, kClasses}),
                         parameter(net, "/head/bias", {kClasses})});
}

/// 5 times the mean squared distance of the unlabelled crops' probabilities from those of the teacher, which
/// sees them with noise.
ValueId TrainingStep::consistency(ValueId images, ValueId logits) {
  const AttributeMap unlabelled = {{"begin", static_cast<double>(size_.labelled)},
                                   {"end", static_cast<double>(size_.labelled + size_.unlabelled)}};
  const ValueId crops = node("slice", {images}, unlabelled);
  std::vector<double> shape;
  for (const int64_t extent : graph_.type(crops).shape.extents())
    shape.push_back(static_cast<double>(extent));
  const ValueId noise =
      node("gaussian_noise", {rng_},
           {{"shape", shape}, {"scale", 0.1}, {"limit", 0.2}, {"stream", std::string("noise")}});
  const ValueId theirs = node("softmax", {vnet("teacher", node("add", {crops, noise}))});
  const ValueId ours = node("softmax", {node("slice", {logits}, unlabelled)});
  const ValueId distance = node("mean_squared_error", {ours, node("stop_gradient", {theirs})});
  return node("multiply", {distance, scalar("consistency", 5)});
}

void TrainingStep::update(ValueId loss) {
  const std::vector<ValueId>& student = parameters_["student"];
  const auto gradients = graph_.add_gradients(loss, student);
  std::vector<ValueId> sgd = {scalar("learningRate", 0.05f)};
  for (size_t i = 0; i < student.size(); ++i) {
    const std::string name = "/momentum" + std::to_string(i);
    const TensorPtr momentum = tensor(name, graph_.type(student[i]).shape, 0, 0);
    sgd.insert(sgd.end(), {student[i], gradients[i], graph_.add_persistent(momentum, name)});
  }
  graph_.add_node("sgd", sgd, {{"momentum", 0.9}, {"weightDecay", 1e-4}}, "sgd");
  if (!size_.mean_teacher) return;
  std::vector<ValueId> ema = {scalar("alpha", 0.9f)};
  for (size_t i = 0; i < student.size(); ++i) ema.insert(ema.end(), {parameters_["teacher"][i], student[i]});
  graph_.add_node("ema", ema, {}, "ema");
}

float TrainingStep::run(int32_t t) {
  const int32_t words[3] = {11, 0, t};
  std::memcpy(inputs_.at(rng_)->data(), words, sizeof words);
  const std::atomic<bool> never{false};
  program_->run(inputs_, never);
  return *program_->outputs()[0]->view().as<float>();
}

std::map<std::string, TensorPtr> TrainingStep::state() const {
  std::map<std::string, TensorPtr> copy;
  for (const auto& entry : tensors_) {
    auto host = std::make_shared<Tensor>(entry.second->type());
    if (device_)
      device_->download(*entry.second, *host);
    else
      std::memcpy(host->data(), entry.second->data(), host->type().bytes());
    copy[entry.first] = host;
  }
  return copy;
}

}  // namespace sfr::test
