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

template <class Step, class Size>
void equals_cpu(const Size& size, int steps, double tolerance = kTolerance) {
  for (const auto& device : devices_under_test()) {
    Step ours(size, device), watched(size, device, StepRun::guarded), theirs(size, nullptr);
    float first = 0, last = 0;
    for (int t = 0; t < steps; ++t) {
      const float expected = theirs.run(t), received = ours.run(t);
      expect_close(device->name() + ": loss", expected, received, std::abs(expected), tolerance);
      expect(watched.run(t) == received, device->name() + ": a captured step gives other bits");
      if (t == 0) first = received;
      last = received;
    }
    expect(last < first, "expected the loss to fall");
    const auto state = ours.state();
    for (const auto& entry : theirs.state())
      expect_close(device->name() + ": " + entry.first, *entry.second, *state.at(entry.first), tolerance);
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
