// How an op's launcher on the host starts a kernel of <op>.cu, and how a kernel tells of bad input.
#pragma once
#include <algorithm>

#include "cuda/elements.h"
#include "device/device.h"
#include "device/fault.h"
#include "graph/op.h"

namespace sfr {

/// Threads of a block in kernels that do not say otherwise.
inline constexpr uint32_t kBlock = 256;

/// Starts kernel `name`, whose one parameter is an Args.
template <class Args>
void launch(const KernelContext& c, const char* name, Grid grid, const Args& args) {
  c.device->launch(name, grid, kBlock, &args, sizeof args);
}

/// Input i, f32 or bf16, for a kernel that takes both; without data where it is absent.
inline Elements elements_of(const KernelContext& c, size_t i) {
  if (i >= c.inputs.size()) return {};
  return {c.inputs[i].data, c.inputs[i].type.dtype == DType::bf16};
}

/// Output i of such a kernel.
inline Results results_of(const KernelContext& c, size_t i) {
  return {c.outputs[i].data, c.outputs[i].type.dtype == DType::bf16};
}

/// As many blocks as `count` elements need, but no more than fill any card several times over: kernels walk
/// on by over_elements (cuda/kernel.h).
inline Grid element_grid(int64_t count) {
  return {static_cast<uint32_t>(std::clamp<int64_t>((count + kBlock - 1) / kBlock, 1, 16384))};
}

/// Calls group(first, count) for at most kMost of `total` tensors at a time: optimisers launch once for many.
template <size_t kMost, class F>
void in_groups(size_t total, F group) {
  for (size_t first = 0; first < total; first += kMost) group(first, std::min(kMost, total - first));
}

}  // namespace sfr
