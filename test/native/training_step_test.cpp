// Whole training steps of a small V-Net - two levels, strided convolutions written as gather and product - on
// the CPU and on each device: labelled only, and Mean Teacher. Captured, and node by node under watch.
#include "native/training_step.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#include "native/devices.h"
#include "native/expect.h"

namespace sfr::test {

namespace {

constexpr int kSteps = 4;

/// Both sum in f32 in different orders, and four steps of training carry the differences on: up to 3e-6 of a
/// tensor's largest entry were seen. Entries below 0.01 count as 0.01: convolution biases before batch-norm
/// have no gradient but rounding.
constexpr double kTolerance = 2e-5;

/// Throws unless |expected - received| is within the tolerance of `largest`.
void expect_close(const std::string& what, double expected, double received, double largest) {
  char text[160];
  std::snprintf(text, sizeof text, ": expected %.9g, received %.9g, which is %.1e of %.3g off", expected,
                received, std::abs(expected - received) / largest, largest);
  expect(std::abs(expected - received) <= kTolerance * largest, what + text);
}

void expect_close(const std::string& what, const Tensor& expected, const Tensor& received) {
  const float *a = expected.view().as<float>(), *b = received.view().as<float>();
  double largest = 0.01;
  for (int64_t i = 0; i < expected.type().shape.count(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
  for (int64_t i = 0; i < expected.type().shape.count(); ++i)
    expect_close(what, static_cast<double>(a[i]), static_cast<double>(b[i]), largest);
}

void equals_cpu(const std::shared_ptr<Device>& device, bool mean_teacher) {
  StepSize size;
  size.mean_teacher = mean_teacher;
  TrainingStep ours(size, device), watched(size, device, true), theirs(size, nullptr);
  float first = 0, last = 0;
  for (int t = 0; t < kSteps; ++t) {
    const float expected = theirs.run(t), received = ours.run(t);
    expect_close(device->name() + ": loss", expected, received, std::abs(expected));
    expect(watched.run(t) == received, device->name() + ": a captured step gives other bits");
    if (t == 0) first = received;
    last = received;
  }
  expect(last < first, "expected the loss to fall");
  const auto state = ours.state();
  for (const auto& entry : theirs.state())
    expect_close(device->name() + ": " + entry.first, *entry.second, *state.at(entry.first));
}

}  // namespace

SFR_TEST("training step/V-Net on labelled crops: every device equals the CPU") {
  for (const auto& device : devices_under_test()) equals_cpu(device, false);
}

SFR_TEST("training step/V-Net with Mean Teacher: every device equals the CPU") {
  for (const auto& device : devices_under_test()) equals_cpu(device, true);
}

SFR_TEST("training step/a label out of range is refused and changes no state") {
  for (const auto& device : devices_under_test()) {
    TrainingStep step(StepSize{}, device);
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
