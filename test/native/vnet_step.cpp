#include "native/vnet_step.h"

namespace sfr::test {

namespace {

constexpr int64_t kClasses = 2;
const std::vector<double> kTwo = {2, 2, 2};

}  // namespace

VnetStep::VnetStep(const VnetSize& size, const std::shared_ptr<Device>& device, StepRun run)
    : TrainingStep(device), size_(size) {
  const Shape& v = size.volume;
  const int64_t batch = size.labelled + (size.mean_teacher ? size.unlabelled : 0);
  const ValueId labels = add_labels({size.labelled, v[0], v[1], v[2]});
  const ValueId images = input("images", normals({batch, v[0], v[1], v[2], 1}, "images", 0, 1));
  const ValueId logits = vnet("student", images);
  const ValueId labelled = node("slice", {logits}, {{"end", static_cast<double>(size.labelled)}});
  ValueId loss = supervised_loss(labelled, labels);
  if (size.mean_teacher) loss = node("add", {loss, consistency(images, logits)});
  add_sgd("student", loss);
  if (size.mean_teacher) {
    std::vector<ValueId> ema = {scalar("alpha", 0.9f)};
    for (size_t i = 0; i < parameters_["student"].size(); ++i)
      ema.insert(ema.end(), {parameters_["teacher"][i], parameters_["student"][i]});
    graph_.add_node("ema", ema, {}, "ema");
  }
  compile(loss, run, size.bf16);
}

/// relu(batch_norm(x)) + skip.
ValueId VnetStep::normalised(const std::string& net, const std::string& name, ValueId x, ValueId skip) {
  const Shape channels{shape(x).back()};
  const ValueId scale = parameter(net, name + "/scale", channels, 1);
  const ValueId shift = parameter(net, name + "/shift", channels);
  const ValueId mean = constant(net + name + "/mean", channels, 0, 0);
  const ValueId variance = constant(net + name + "/variance", channels, 1, 0);
  const auto y = graph_.add_node("batch_norm", {x, scale, shift, mean, variance}, {}, name);
  graph_.add_node("batch_norm_update", {mean, variance, y[1], y[2]},
                  {{"count", static_cast<double>(shape(x).count() / shape(x).back())}}, name);
  const ValueId open = node("relu", {y[0]});
  return skip == kNoValue ? open : node("add", {open, skip});
}

/// One to three convolutions, as V-Net has them on its levels.
ValueId VnetStep::block(const std::string& net, const std::string& name, ValueId x, int64_t level) {
  const int64_t out = size_.filters << level;
  for (int64_t i = 0; i < std::min<int64_t>(level + 1, 3); ++i) {
    const std::string layer = name + "/" + std::to_string(i);
    const ValueId weight = parameter(net, layer + "/weight", {3, 3, 3, shape(x).back(), out});
    x = normalised(net, layer, node("conv3d", {x, weight, parameter(net, layer + "/bias", {out})}));
  }
  return x;
}

/// What comes of x on a level and those below it.
ValueId VnetStep::level(const std::string& net, ValueId x, int64_t l) {
  const std::string name = "/" + std::to_string(l);
  const int64_t f = size_.filters << l;
  const ValueId y = block(net, name + "/encoder", x, l);
  if (l + 1 == size_.levels) return dropped(net + "/bottleneck", y, 0.5);
  const ValueId down = node("strided_conv3d",
                            {y, parameter(net, name + "/down/weight", {8 * f, 2 * f}),
                             parameter(net, name + "/down/bias", {2 * f})},
                            {{"block", kTwo}});
  const ValueId below = level(net, normalised(net, name + "/down", down), l + 1);
  const ValueId up = node(
      "transposed_conv3d",
      {below, parameter(net, name + "/up/weight", {2 * f, 8 * f}), parameter(net, name + "/up/bias", {f})},
      {{"block", kTwo}});
  return block(net, name + "/decoder", normalised(net, name + "/up", up, y), l);
}

/// Logits [N, D, H, W, K].
ValueId VnetStep::vnet(const std::string& net, ValueId images) {
  return linear(net, "/head", dropped(net + "/head", level(net, images, 0), 0.5), kClasses);
}

/// 5 times the mean squared distance of the unlabelled crops' probabilities from those of the teacher, which
/// sees them with noise.
ValueId VnetStep::consistency(ValueId images, ValueId logits) {
  const AttributeMap unlabelled = {{"begin", static_cast<double>(size_.labelled)},
                                   {"end", static_cast<double>(size_.labelled + size_.unlabelled)}};
  const ValueId crops = node("slice", {images}, unlabelled);
  const std::vector<int64_t> extents = shape(crops).extents();
  const ValueId noise = node("gaussian_noise", {rng_},
                             {{"shape", std::vector<double>(extents.begin(), extents.end())},
                              {"scale", 0.1},
                              {"limit", 0.2},
                              {"stream", std::string("noise")}});
  const ValueId theirs = node("softmax", {vnet("teacher", node("add", {crops, noise}))});
  const ValueId ours = node("softmax", {node("slice", {logits}, unlabelled)});
  const ValueId distance = node("mean_squared_error", {ours, node("stop_gradient", {theirs})});
  return node("multiply", {distance, scalar("consistency", 5)});
}

}  // namespace sfr::test
