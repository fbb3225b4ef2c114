#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr {

namespace {

/// Nodes that may pass between two readers of a value before it is worth computing again for the later one:
/// a convolution's neighbours are closer, forward and backward of a layer further apart.
constexpr int kWait = 4;

/// Ops that cost one pass over memory, from values that are kept anyway or that are cheap themselves.
bool is_cheap(const Node& node) {
  const std::string& op = node.op->name;
  return op == "batch_norm" || op == "space_to_depth" || op == "dropout";
}

class Rewrite {
 public:
  explicit Rewrite(Graph& graph) : graph_(graph), nodes_(graph.nodes()) {
    for (size_t n = 0; n < nodes_.size(); ++n)
      for (const ValueId v : nodes_[n].inputs)
        if (v != kNoValue) last_use_[v] = n;
  }

  void run() {
    for (size_t n = 0; n < nodes_.size(); ++n) {
      Node node = nodes_[n];
      for (ValueId& v : node.inputs) v = present(v, n);
      emit(node, n);
      if (is_cheap(nodes_[n])) cheap_[nodes_[n].outputs[0]] = {n, nodes_[n].outputs[0], n};
    }
    graph_.replace_nodes(std::move(done_));
  }

 private:
  /// A value that a cheap node computes: that node, where the value stands now, and who touched it last.
  struct Cheap {
    size_t node;
    ValueId now;
    size_t touched;
  };

  void emit(Node node, size_t position) {
    const NodeTypes types = graph_.node_types(node);
    for (size_t i = 0; node.op->writes != nullptr && i < node.inputs.size(); ++i)
      if (node.inputs[i] != kNoValue && node.op->writes(types, i)) written_[node.inputs[i]] = position;
    done_.push_back(std::move(node));
  }

  /// What a reader at `position` is to read for `v`: computed again if it waited too long and that is
  /// possible.
  ValueId present(ValueId v, size_t position) {
    const auto found = cheap_.find(v);
    if (found == cheap_.end()) return v;
    Cheap& cheap = found->second;
    if (position - cheap.touched > kWait && can_compute(cheap, position))
      cheap.now = compute(nodes_[cheap.node], position);
    cheap.touched = position;
    return cheap.now;
  }

  bool can_compute(const Cheap& cheap, size_t position) const {
    const std::vector<ValueId> inputs = replay(nodes_[cheap.node]).inputs;
    return std::all_of(inputs.begin(), inputs.end(), [&](ValueId v) {
      const auto written = written_.find(v);
      if (written != written_.end() && written->second > cheap.node) return false;
      return v == kNoValue || is_kept(v, position);
    });
  }

  /// Whether a value is there at `position` without this pass having to keep it longer.
  bool is_kept(ValueId v, size_t position) const {
    if (graph_.value(v).kind != ValueKind::node || graph_.type(v).bytes() < kSmall) return true;
    const auto found = cheap_.find(v);
    if (found == cheap_.end()) return last_use_.at(v) >= position;
    return position - found->second.touched <= kWait || can_compute(found->second, position);
  }

  /// The node that gives output 0 of a cheap node once more: batch_norm uses the statistics it took then.
  static Node replay(const Node& node) {
    Node again = node;
    if (node.op->name != "batch_norm") return again;
    BatchNormAttributes attributes = *static_cast<const BatchNormAttributes*>(node.attributes.get());
    attributes.training = false;
    again.attributes = std::make_shared<BatchNormAttributes>(attributes);
    again.inputs[3] = node.outputs[1];
    again.inputs[4] = node.outputs[2];
    return again;
  }

  ValueId compute(const Node& node, size_t position) {
    Node again = replay(node);
    for (ValueId& v : again.inputs) v = present(v, position);
    for (ValueId& v : again.outputs) {
      const TensorType type = graph_.type(v);
      v = graph_.add_value(type, graph_.value(v).name + " again");
    }
    again.name += " again";
    const ValueId result = again.outputs[0];
    emit(std::move(again), position);
    return result;
  }

  static constexpr size_t kSmall = 1 << 16;  // statistics and the like, bytes: never worth a thought

  Graph& graph_;
  const std::vector<Node> nodes_;
  std::vector<Node> done_;
  std::map<ValueId, size_t> last_use_;
  std::map<ValueId, size_t> written_;
  std::map<ValueId, Cheap> cheap_;
};

}  // namespace

void recompute_activations(Graph& graph) {
  Rewrite(graph).run();
}

}  // namespace sfr
