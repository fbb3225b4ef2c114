// sfr_native_bench [--cuda libsfr_cuda.so [--bf16]] vnet|unet|sam [sizes]: seconds of a network's training
// step, on the CPU or on card 0, there with activations in f32 or bf16. Sizes: levels filters batch z y x of
// vnet (half of the batch labelled, with Mean Teacher) and unet; width depth heads canvas batch of sam (LoRA
// on weights in bf16). Two lines of JSON: the times, where the first steps, which capture and warm up, do not
// count; and explain() with the seconds of each node. Status 3 when there is no card.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "native/sam_step.h"
#include "native/unet_step.h"
#include "native/vnet_step.h"

namespace {

using namespace sfr::test;

constexpr int kWarmUp = 2, kSteps = 10, kNoCard = 3, kUsage = 2;

/// What was asked for: a network and its numbers.
struct Request {
  std::string network;
  std::vector<int64_t> sizes;
  std::shared_ptr<sfr::Device> device;
  bool bf16 = false;
  int64_t size(size_t i, int64_t otherwise) const {
    return i < sizes.size() ? std::max<int64_t>(sizes[i], 1) : otherwise;
  }
  /// Extents from number i on; otherwise the paper's crop of left atria.
  sfr::Shape volume(size_t i) const { return {size(i, 80), size(i + 1, 112), size(i + 2, 112)}; }
};

template <class Step, class Size>
void report(const Request& request, const Size& size) {
  Step step(size, request.device);
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
  std::string sizes;
  for (const int64_t size : request.sizes) sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
  std::printf(
      "{\"work\":\"%s training step\",\"activations\":\"%s\",\"sizes\":[%s],\"device\":\"%s\","
      "\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"arenaBytes\":%zu,\"loss\":%.6g}\n",
      request.network.c_str(), request.bf16 ? "bf16" : "f32", sizes.c_str(),
      request.device ? request.device->name().c_str() : "cpu", seconds[seconds.size() / 2], seconds.front(),
      seconds.back(), plan.arena_bytes + plan.work_bytes, static_cast<double>(loss));
  Step timed(size, request.device, StepRun::timed);
  for (int t = 0; t < kWarmUp; ++t) timed.run(t);
  std::printf("%s\n", timed.program().explain().c_str());
}

void time_vnet(const Request& r) {
  VnetSize size;
  size.levels = r.size(0, 5), size.filters = r.size(1, 16), size.volume = r.volume(3);
  size.labelled = size.unlabelled = std::max<int64_t>(r.size(2, 4) / 2, 1);
  size.mean_teacher = true, size.bf16 = r.bf16;
  report<VnetStep>(r, size);
}

void time_unet(const Request& r) {
  UnetSize size;
  size.levels = r.size(0, 5), size.filters = r.size(1, 16), size.volume = r.volume(3);
  size.batch = r.size(2, 2), size.bf16 = r.bf16;
  report<UnetStep>(r, size);
}

void time_sam(const Request& r) {
  SamSize size;
  size.width = r.size(0, 768), size.depth = r.size(1, 12), size.heads = r.size(2, 12);
  size.canvas = r.size(3, 1024), size.batch = r.size(4, 2);
  size.window = 14, size.decoder_width = 256, size.decoder_mlp = 2048, size.decoder_heads = 8, size.rank = 4;
  size.bf16 = true, size.bf16_activations = r.bf16;
  report<SamStep>(r, size);
}

}  // namespace

int main(int argc, char** argv) {
  Request request;
  int next = 1;
  try {
    if (argc > 2 && std::strcmp(argv[1], "--cuda") == 0) {
      request.device = sfr::Device::load(argv[2], 0, 0);
      next = 3;
    }
  } catch (const sfr::Error& error) {
    std::printf("%s\n", error.what());
    return kNoCard;
  }
  if (request.device && next < argc && std::strcmp(argv[next], "--bf16") == 0) request.bf16 = true, ++next;
  if (next < argc) request.network = argv[next++];
  for (; next < argc; ++next) request.sizes.push_back(std::atoll(argv[next]));
  if (request.network == "vnet") {
    time_vnet(request);
  } else if (request.network == "unet") {
    time_unet(request);
  } else if (request.network == "sam") {
    time_sam(request);
  } else {
    std::printf("sfr_native_bench: expected vnet, unet or sam for the network, received %s\n",
                request.network.empty() ? "none" : request.network.c_str());
    return kUsage;
  }
  return 0;
}
