#include "graph/passes/passes.h"

namespace sfr {

namespace {

/// Activations have axes of items, of places and of channels: losses, statistics and what else is a sum of
/// many numbers has fewer, and stays f32.
constexpr int kLeastRank = 3;

/// An input of a node.
struct Reader {
  size_t node, input;
};

class Activations {
 public:
  Activations(const Graph& graph, const std::vector<ValueId>& outputs)
      : graph_(graph), readers_(graph.values().size()), is_result_(graph.values().size(), false) {
    for (const ValueId v : outputs) is_result_[static_cast<size_t>(v)] = true;
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      const std::vector<ValueId>& inputs = graph.nodes()[n].inputs;
      for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i] != kNoValue) readers_[static_cast<size_t>(inputs[i])].push_back({n, i});
    }
  }

  bool becomes_bf16(const Node& node, size_t output) const {
    const TensorType& type = graph_.type(node.outputs[output]);
    if (node.op->is_view) return graph_.type(node.inputs[0]).dtype == DType::bf16;
    return type.dtype == DType::f32 && type.shape.rank() >= kLeastRank &&
           contains(node.op->bf16_outputs, output) && (node.op->flops != nullptr || reads_bf16(node)) &&
           all_readers_take(node.outputs[output]);
  }

 private:
  bool reads_bf16(const Node& node) const {
    for (const ValueId v : node.inputs)
      if (v != kNoValue && graph_.type(v).dtype == DType::bf16) return true;
    return false;
  }

  bool all_readers_take(ValueId v) const {
    if (is_result_[static_cast<size_t>(v)]) return false;
    for (const Reader& r : readers_[static_cast<size_t>(v)]) {
      const Node& node = graph_.nodes()[r.node];
      if (node.op->is_view ? !all_readers_take(node.outputs[0]) : !contains(node.op->bf16_inputs, r.input))
        return false;
    }
    return true;
  }

  const Graph& graph_;
  std::vector<std::vector<Reader>> readers_;  // by value
  std::vector<bool> is_result_;
};

}  // namespace

void store_as_bf16(Graph& graph, const std::vector<ValueId>& outputs) {
  const Activations activations(graph, outputs);
  for (const Node& node : graph.nodes())
    for (size_t o = 0; o < node.outputs.size(); ++o)
      if (activations.becomes_bf16(node, o)) graph.set_dtype(node.outputs[o], DType::bf16);
}

}  // namespace sfr
