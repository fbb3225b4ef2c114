#include "native/devices.h"

#include "native/shim/shim_device.h"

namespace sfr::test {

namespace {

std::vector<std::shared_ptr<Device>>& devices() {
  static std::vector<std::shared_ptr<Device>> list = {std::make_shared<Device>(shim::shim_table(), 0, 0)};
  return list;
}

bool takes(const Node& node, const NodeTypes& types) {
  for (const Kernel& kernel : node.op->cuda)
    if (kernel.refuses == nullptr || kernel.refuses(types) == nullptr) return true;
  return node.op->is_view;
}

}  // namespace

const std::vector<std::shared_ptr<Device>>& devices_under_test() {
  return devices();
}

void set_device_under_test(std::shared_ptr<Device> device) {
  devices() = {std::move(device)};
}

bool runs_on_cuda(const Graph& graph) {
  for (const Node& node : graph.nodes())
    if (!takes(node, graph.node_types(node))) return false;
  return true;
}

}  // namespace sfr::test
