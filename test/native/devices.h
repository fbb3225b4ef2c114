// The devices that tests run CUDA kernels on.
#pragma once
#include <memory>
#include <vector>

#include "device/device.h"
#include "graph/graph.h"

namespace sfr::test {

/// The launch shim, or the card behind libsfr_cuda where the command line named the library.
const std::vector<std::shared_ptr<Device>>& devices_under_test();
void set_device_under_test(std::shared_ptr<Device> device);

/// Whether every node of the graph has a CUDA kernel that takes it.
bool runs_on_cuda(const Graph& graph);

}  // namespace sfr::test
