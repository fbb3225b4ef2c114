// Whole training steps of small networks on the CPU and on each device: captured, and node by node under
// watch.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "native/devices.h"
#include "native/expect.h"
#include "native/sam_step.h"
#include "native/unet_step.h"
#include "native/vnet_step.h"

namespace sfr::test {

namespace {

/// Both sum in f32 in different orders, and steps of training carry the differences on: up to 3e-6 of a
/// tensor's largest entry were seen. Entries below 0.01 count as 0.01: convolution biases before a norm
/// have no gradient but rounding.
constexpr double kTolerance = 2e-5;
/// With weights in bf16 a sum that differs in its last bit may round to the next bf16, 4e-3 away; that is one
/// of many terms.
constexpr double kBf16Tolerance = 2e-3;

/// With activations in bf16 every layer rounds its result by up to 2^-8 of it, 2^-9.8 in the mean, forward
/// and backward, and some forty such errors add up like a random walk: 1 % of a gradient. A relu that opens
/// and a few steps of training add to that: 3 to 4.4 % of all moments, as one vector, were seen, and 0.14 %
/// of losses, which average over voxels.
constexpr double kActivationMoments = 0.08, kActivationLoss = 0.005;
/// Of the activations: the rest are probabilities and what stands between a loss and them.
constexpr double kLeastShare = 0.5;

/// Throws unless |expected - received| is within the tolerance of `largest`.
void expect_close(const std::string& what, double expected, double received, double largest,
                  double tolerance) {
  char text[160];
  std::snprintf(text, sizeof text, ": expected %.9g, received %.9g, which is %.1e of %.3g off", expected,
                received, std::abs(expected - received) / largest, largest);
  expect(std::abs(expected - received) <= tolerance * largest, what + text);
}

void expect_close(const std::string& what, const Tensor& expected, const Tensor& received, double tolerance) {
  const float *a = expected.view().as<float>(), *b = received.view().as<float>();
  double largest = 0.01;
  for (int64_t i = 0; i < expected.type().shape.count(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
  for (int64_t i = 0; i < expected.type().shape.count(); ++i)
    expect_close(what, static_cast<double>(a[i]), static_cast<double>(b[i]), largest, tolerance);
}

/// Runs the steps of a device beside the CPU's: equal losses within the tolerance, which fall, and the bits
/// of a captured step are those of one that is watched.
template <class Step>
void run_beside(Step& theirs, Step& ours, Step& watched, int steps, const std::string& device,
                double tolerance) {
  float first = 0, last = 0;
  for (int t = 0; t < steps; ++t) {
    const float expected = theirs.run(t), received = ours.run(t);
    expect_close(device + ": loss", expected, received, std::abs(expected), tolerance);
    expect(watched.run(t) == received, device + ": a captured step gives other bits");
    if (t == 0) first = received;
    last = received;
  }
  expect(last < first, "expected the loss to fall");
}

template <class Step, class Size>
void equals_cpu(const Size& size, int steps, double tolerance = kTolerance) {
  for (const auto& device : devices_under_test()) {
    Step ours(size, device), watched(size, device, StepRun::guarded), theirs(size, nullptr);
    run_beside(theirs, ours, watched, steps, device->name(), tolerance);
    const auto state = ours.state();
    for (const auto& entry : theirs.state())
      expect_close(device->name() + ": " + entry.first, *entry.second, *state.at(entry.first), tolerance);
  }
}

/// Share of the elements of activations - values of three axes and more that nodes compute - in bf16.
double share_in_bf16(const Graph& graph) {
  double all = 0, half = 0;
  for (const Node& node : graph.nodes())
    for (const ValueId v : node.outputs) {
      const TensorType& type = graph.type(v);
      if (type.shape.rank() < 3) continue;
      all += static_cast<double>(type.shape.count());
      half += type.dtype == DType::bf16 ? static_cast<double>(type.shape.count()) : 0;
    }
  return half / all;
}

/// |b - a| / |a| of all first moments of two states, which are means of gradients, as one vector.
double moments_off(const std::map<std::string, TensorPtr>& a, const std::map<std::string, TensorPtr>& b) {
  double squares = 0, differences = 0;
  for (const auto& entry : a) {
    if (entry.first.rfind("/momentum", 0) != 0 && entry.first.rfind("/first", 0) != 0) continue;
    const float *x = entry.second->view().as<float>(), *y = b.at(entry.first)->view().as<float>();
    for (int64_t i = 0; i < entry.second->type().shape.count(); ++i) {
      squares += static_cast<double>(x[i]) * x[i];
      differences += (static_cast<double>(y[i]) - x[i]) * (static_cast<double>(y[i]) - x[i]);
    }
  }
  return std::sqrt(differences / squares);
}

/// Steps whose activations a device stores as bf16 - where `is_bf16` of the size says so -, against the CPU.
template <class Step, class Size>
void near_cpu(Size size, bool Size::*is_bf16, int steps) {
  for (const auto& device : devices_under_test()) {
    Step theirs(size, nullptr), full(size, device);
    size.*is_bf16 = true;
    Step ours(size, device), watched(size, device, StepRun::guarded);
    size.*is_bf16 = false;
    expect(share_in_bf16(full.program().graph()) == 0, "expected activations in f32 when nobody asked");
    const double share = share_in_bf16(ours.program().graph());
    expect(share > kLeastShare, "expected most activations in bf16, received " + std::to_string(share));
    expect(ours.program().plan().arena_bytes <= full.program().plan().arena_bytes, "expected no more memory");
    run_beside(theirs, ours, watched, steps, device->name(), kActivationLoss);
    const double off = moments_off(theirs.state(), ours.state());
    expect(off <= kActivationMoments, "expected moments within " + std::to_string(kActivationMoments) +
                                          " of the CPU's, received " + std::to_string(off));
  }
}

}  // namespace

SFR_TEST("training step/V-Net on labelled crops: every device equals the CPU") {
  equals_cpu<VnetStep>(VnetSize{}, 4);
}

SFR_TEST("training step/V-Net with Mean Teacher: every device equals the CPU") {
  VnetSize size;
  size.mean_teacher = true;
  equals_cpu<VnetStep>(size, 4);
}

SFR_TEST("training step/3D U-Net: every device equals the CPU") {
  equals_cpu<UnetStep>(UnetSize{}, 3);
}

SFR_TEST("training step/SAM with LoRA: every device equals the CPU") {
  equals_cpu<SamStep>(SamSize{}, 3);
}

SFR_TEST("training step/SAM with LoRA on weights in bf16: every device equals the CPU") {
  SamSize size;
  size.bf16 = true;
  equals_cpu<SamStep>(size, 2, kBf16Tolerance);
}

SFR_TEST("training step/V-Net with Mean Teacher, activations in bf16: near the CPU's f32") {
  VnetSize size;
  size.mean_teacher = true;
  near_cpu<VnetStep>(size, &VnetSize::bf16, 4);
}

SFR_TEST("training step/3D U-Net, activations in bf16: near the CPU's f32") {
  near_cpu<UnetStep>(UnetSize{}, &UnetSize::bf16, 3);
}

SFR_TEST("training step/SAM with LoRA, weights and activations in bf16: near the CPU's bf16") {
  SamSize size;
  size.bf16 = true;
  near_cpu<SamStep>(size, &SamSize::bf16_activations, 3);
}

SFR_TEST("training step/a label out of range is refused and changes no state") {
  for (const auto& device : devices_under_test()) {
    VnetStep step(VnetSize{}, device);
    step.run(0);
    const auto before = step.state();
    step.labels().view().as<uint8_t>()[77] = 9;
    expect_error([&] { step.run(1); },
                 "expected a class below 2 or 255 (ignored) for labels, received another at index 77");
    const auto after = step.state();
    for (const auto& entry : before) {
      const Tensor& now = *after.at(entry.first);
      expect(std::memcmp(now.data(), entry.second->data(), now.type().bytes()) == 0,
             entry.first + " has changed");
    }
  }
}

}  // namespace sfr::test
