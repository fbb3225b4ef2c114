// sfr_native_bench [--cuda libsfr_cuda.so] [levels filters side batch]: seconds of V-Net's training step,
// half of the batch labelled, with Mean Teacher; on the CPU, or on card 0. One line of JSON; status 3 when
// there is no card. The first steps, which capture and warm up, do not count.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "native/training_step.h"

namespace {

constexpr int kWarmUp = 2, kSteps = 10, kNoCard = 3;

void report(sfr::test::TrainingStep& step, const sfr::test::StepSize& size, const std::string& device) {
  std::vector<double> seconds;
  float loss = 0;
  for (int t = 0; t < kWarmUp + kSteps; ++t) {
    const auto start = std::chrono::steady_clock::now();
    loss = step.run(t);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (t >= kWarmUp) seconds.push_back(taken.count());
  }
  std::sort(seconds.begin(), seconds.end());
  const sfr::MemoryPlan& plan = step.program().plan();
  std::printf(
      "{\"work\":\"vnet mean-teacher step\",\"device\":\"%s\",\"levels\":%lld,\"filters\":%lld,"
      "\"side\":%lld,\"batch\":%lld,\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"arenaBytes\":%zu,"
      "\"loss\":%.6g}\n",
      device.c_str(), static_cast<long long>(size.levels), static_cast<long long>(size.filters),
      static_cast<long long>(size.side), static_cast<long long>(size.labelled + size.unlabelled),
      seconds[seconds.size() / 2], seconds.front(), seconds.back(), plan.arena_bytes + plan.work_bytes,
      static_cast<double>(loss));
}

}  // namespace

int main(int argc, char** argv) {
  std::shared_ptr<sfr::Device> device;
  int next = 1;
  try {
    if (argc > 2 && std::strcmp(argv[1], "--cuda") == 0) {
      device = sfr::Device::load(argv[2], 0, 0);
      next = 3;
    }
  } catch (const sfr::Error& error) {
    std::printf("%s\n", error.what());
    return kNoCard;
  }
  const auto number = [&](int i, int64_t otherwise) {
    return next + i < argc ? std::max<int64_t>(std::atoll(argv[next + i]), 1) : otherwise;
  };
  sfr::test::StepSize size;
  size.levels = number(0, 5), size.filters = number(1, 16), size.side = number(2, 96);
  size.labelled = size.unlabelled = std::max<int64_t>(number(3, 4) / 2, 1);
  size.mean_teacher = true;
  sfr::test::TrainingStep step(size, device);
  report(step, size, device ? device->name() : "cpu");
  return 0;
}
