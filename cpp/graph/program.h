// A compiled graph: fused, differentiated, verified, planned, with a kernel bound to each node. Running it is
// one call that allocates nothing.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph/device_step.h"
#include "graph/engine.h"
#include "graph/graph.h"
#include "graph/memory_plan.h"
#include "math/levels.h"

namespace sfr {

struct CompileOptions {
  bool fuse = true;     // off: every node runs as it was built, the reference for fused ops
  bool guards = false;  // fill outputs and work memory with NaN before each node, check a pattern before and
                        // behind every buffer after it
  bool keep_bf16 = false;  // values wait for the backward pass as bf16, see keep_as_bf16; needs fuse
  std::shared_ptr<Device> device = nullptr;  // to run on; null: the CPU. State lies in its memory or is
                                             // mirrored there, inputs and results are host tensors
  bool time_nodes = false;  // a device runs node after node and times each for explain(), rather than the
                            // step as a whole; the CPU always does
  bool bf16_activations = false;  // a device stores them so, see store_as_bf16, in the place of keep_bf16;
                                  // the CPU's kernels know no such activations, and nothing changes there
};

/// What a node will run as.
struct BoundNode {
  const Kernel* kernel = nullptr;  // null for views
  std::string refused;             // `name: reason; ...` of faster kernels that refused the node
};

class Program {
 public:
  /// Compiles the part of `graph` that `outputs` and state writes need.
  /// Throws Error(device) naming the node and each kernel's reason when no kernel supports a node, and when
  /// state is not where the program runs.
  Program(Graph graph, const std::vector<ValueId>& outputs, CompileOptions options);

  /// Runs one step. `inputs` holds one tensor per input that the program reads (others are ignored).
  /// When `cancel` becomes true before the first state write, throws Error(cancelled) and no state has
  /// changed; afterwards the step runs to its end. Throws Error(usage | shape | dtype) when an input is
  /// missing or of another type.
  void run(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel);

  /// Results of the last run, overwritten by the next one; in the order of `outputs` given to compile.
  const std::vector<TensorPtr>& outputs() const { return output_tensors_; }

  /// JSON: nodes with kernel, refused kernels with reasons, bytes, FLOPs, seconds of the last run; the
  /// device; peak bytes; persistent bytes.
  std::string explain() const;

  const Graph& graph() const { return graph_; }
  const MemoryPlan& plan() const { return plan_; }

 private:
  void bind_kernels();
  void expect_state_at_hand() const;
  void run_on_device(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel);
  void run_on_cpu(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel);
  /// Bytes that the engine's memory limit or the device's budget leaves for the arena, at least 1; 0 without
  /// a limit.
  size_t arena_limit() const;
  std::byte* address(ValueId v, std::byte* arena, const std::map<ValueId, TensorPtr>& inputs) const;
  void run_node(size_t index, std::byte* arena, const std::map<ValueId, TensorPtr>& inputs, ThreadPool& pool);
  /// Work memory depends on threads and SIMD level, which may have changed since compilation.
  void plan_for(int threads);
  void check_inputs(const std::map<ValueId, TensorPtr>& inputs) const;
  void set_guards(const Node& node, std::byte* arena) const;
  /// Throws Error(internal) when the node wrote beside what it reads, writes or works in.
  void check_guards(const Node& node, const std::byte* arena,
                    const std::map<ValueId, TensorPtr>& inputs) const;
  /// On which side of a value's memory the pattern is gone: "before" or "behind"; null when on none.
  const char* guard_fault(ValueId v, const std::byte* arena,
                          const std::map<ValueId, TensorPtr>& inputs) const;

  Graph graph_;
  std::vector<ValueId> outputs_;
  CompileOptions options_;
  MemoryPlan plan_;
  int planned_threads_;
  SimdLevel planned_level_;
  std::vector<BoundNode> bound_;
  std::vector<std::atomic<double>> seconds_;  // that each node took in the last run
  std::vector<TensorPtr> output_tensors_;
  std::map<ValueId, TensorPtr> output_of_value_;
  std::vector<const Kernel*> device_kernels_;
  std::unique_ptr<DeviceStep> device_step_;  // on a device
  size_t first_write_ = 0;                   // index of the first node that writes state
};

}  // namespace sfr
