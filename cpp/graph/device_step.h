// A program's memory and launches on a device. Every value has a fixed address there, so a whole step -
// inputs in, kernels, results out - is captured once as a graph and then costs one launch.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/fault.h"
#include "device/mirror.h"
#include "graph/graph.h"
#include "graph/memory_plan.h"

namespace sfr {

/// Captured as one graph; node by node, each timed; or node by node and confined: outputs and work memory are
/// filled with NaN before each node, and on a device that can watch, a node's launches may touch what belongs
/// to the node and nothing else.
enum class DeviceRun { captured, timed, confined };

class DeviceStep {
 public:
  /// `graph`, `plan` and `kernels` (one per node, null for views) must outlive the step.
  DeviceStep(std::shared_ptr<Device> device, const Graph& graph, const MemoryPlan& plan,
             const std::vector<const Kernel*>& kernels, const std::map<ValueId, TensorPtr>& outputs,
             DeviceRun mode);
  ~DeviceStep();

  /// Runs the step on host tensors of the program's inputs and fills its output tensors on the host. Throws
  /// Error(data) when a node refused its input: no state has changed then. Throws Error(device) when memory
  /// does not suffice or the device refuses.
  void run(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel);

  /// That node `index` took in the last timed run.
  double seconds(size_t index) const;

 private:
  /// A value that comes from or goes to the host: its place in the device's and in the pinned memory.
  struct Transfer {
    ValueId value;
    size_t offset;
  };

  void place_state();
  void place_transfers(const std::map<ValueId, TensorPtr>& outputs);
  void bind(std::byte* arena);
  std::byte* address(ValueId v) const;
  KernelContext context_of(const Node& node, int32_t index) const;
  void enqueue();
  void run_node(size_t index);
  void confine(size_t index) const;
  void throw_fault(unsigned long long code) const;
  void release_capture();

  std::shared_ptr<Device> device_;
  const Graph& graph_;
  const MemoryPlan& plan_;
  const std::vector<const Kernel*>& kernels_;
  const DeviceRun mode_;
  std::map<ValueId, std::shared_ptr<Mirror>> mirrors_;  // of state whose home is the host
  std::vector<std::shared_ptr<Mirror>> changed_;        // those that the step writes
  std::vector<Transfer> in_, out_;
  std::map<ValueId, TensorPtr> results_;
  std::map<ValueId, size_t> offset_of_;
  size_t transfer_bytes_ = 0;
  PinnedBytes staging_;
  DeviceBytes transfers_;
  std::byte* arena_ = nullptr;
  std::vector<KernelContext> contexts_;
  std::vector<Event> events_;  // when timed: before each node, and behind the last
  void* captured_ = nullptr;
};

}  // namespace sfr
