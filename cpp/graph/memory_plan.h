// Where each value of a graph lives. Values share one arena; two values overlap only when they are never
// alive at the same time.
#pragma once
#include "graph/graph.h"

namespace sfr {

struct Placement {
  enum class Where { nowhere, arena, input, persistent, output, view } where = Where::nowhere;
  size_t offset = 0;  // in the arena
  size_t bytes = 0;
  ValueId owner = kNoValue;  // whose memory this is (views and in-place results)
  int first = -1,
      last = -1;  // alive from node `first` (which computes it) to node `last` (which reads it last)
};

struct MemoryPlan {
  std::vector<Placement> values;
  size_t arena_bytes = 0;
  size_t work_bytes = 0;  // largest work memory of a node; stands at the arena's end
  size_t output_bytes = 0;
  size_t persistent_bytes = 0;
};

/// Bytes between a value and the next one; keeps 64-byte alignment and leaves room for guard words.
inline constexpr size_t kGuardBytes = 64;

/// Plans memory for running the nodes in their order. Greedy by size: the largest value first, each at the
/// lowest offset that is free for its whole life. `work_bytes`: see work_bytes_on_cpu and _on_cuda.
MemoryPlan plan_memory(const Graph& graph, const std::vector<ValueId>& outputs, size_t work_bytes);

/// The same without offsets and work memory: which values share memory, and when each is alive. Without
/// `in_place` results take over no input's memory: only views share.
MemoryPlan plan_lifetimes(const Graph& graph, const std::vector<ValueId>& outputs, bool in_place);

/// Where most bytes are alive at once.
struct Peak {
  int node = 0;
  size_t bytes = 0;
  /// Whether a value is large enough for passes to add a node for the sake of its memory.
  bool is_worth_a_node(const TensorType& type) const { return type.bytes() >= bytes / 1024; }
};

/// The peak of a plan of plan_lifetimes.
Peak find_peak(const Graph& graph, const MemoryPlan& plan);

/// Largest work memory that a node needs with `threads` threads at the current SIMD level, or on a CUDA
/// device.
size_t work_bytes_on_cpu(const Graph& graph, int threads);
size_t work_bytes_on_cuda(const Graph& graph);

/// Throws Error(internal) when two values that are alive together overlap.
void verify_memory_plan(const Graph& graph, const MemoryPlan& plan);

}  // namespace sfr
