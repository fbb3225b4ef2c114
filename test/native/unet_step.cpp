#include "native/unet_step.h"

namespace sfr::test {

namespace {

const char* const kNet = "unet";

}  // namespace

UnetStep::UnetStep(const UnetSize& size, const std::shared_ptr<Device>& device, StepRun run)
    : TrainingStep(device), size_(size) {
  const Shape& v = size.volume;
  const ValueId labels = add_labels({size.batch, v[0], v[1], v[2]});
  const ValueId images = input("images", normals({size.batch, v[0], v[1], v[2], 1}, "images", 0, 1));
  const ValueId loss = supervised_loss(linear(kNet, "/head", level(images, 0), 2), labels);
  add_sgd(kNet, loss);
  compile(loss, run, size.bf16);
}

/// Two convolutions, each with instance-norm and relu.
ValueId UnetStep::block(const std::string& name, ValueId x, int64_t out) {
  for (int i = 0; i < 2; ++i) {
    const std::string layer = name + "/" + std::to_string(i);
    const ValueId weight = parameter(kNet, layer + "/weight", {3, 3, 3, shape(x).back(), out});
    const ValueId y = node("conv3d", {x, weight, parameter(kNet, layer + "/bias", {out})});
    x = node("relu", {node("instance_norm", {y})});
  }
  return x;
}

/// Trilinear: along depth, then within the slices.
ValueId UnetStep::resized(ValueId x, const Shape& volume) {
  const Shape s = shape(x);
  const auto resize = [&](ValueId v, int64_t rows, int64_t columns) {
    const std::vector<double> size = {static_cast<double>(rows), static_cast<double>(columns)};
    return node("resize_bilinear", {v}, {{"size", size}});
  };
  const ValueId planes = resize(reshape(x, {s[0], s[1], s[2] * s[3], s[4]}), volume[1], s[2] * s[3]);
  const ValueId slices = resize(reshape(planes, {s[0] * volume[1], s[2], s[3], s[4]}), volume[2], volume[3]);
  return reshape(slices, {s[0], volume[1], volume[2], volume[3], s[4]});
}

/// What comes of x on a level and those below it.
ValueId UnetStep::level(ValueId x, int64_t l) {
  const std::string name = "/" + std::to_string(l);
  const int64_t f = size_.filters << l;
  const ValueId y = block(name + "/encoder", x, f);
  if (l + 1 == size_.levels) return y;
  const ValueId below = resized(level(node("max_pool3d", {y}), l + 1), shape(y));
  const ValueId joined = node("concat", {y, below}, {{"axis", 4.0}});
  return dropped(name + "/dropout", block(name + "/decoder", joined, f), 0.3);
}

}  // namespace sfr::test
