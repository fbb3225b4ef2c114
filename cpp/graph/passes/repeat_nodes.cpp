#include <algorithm>

#include "graph/memory_plan.h"
#include "graph/passes/passes.h"

namespace sfr {

namespace {

/// Floating-point operations that a processor does while one byte comes from memory: what makes time of both.
constexpr double kFlopsPerByte = 16;
/// Nodes that may be repeated for the sake of one value.
constexpr size_t kLongestChain = 4;

/// A way to free a value's memory: nodes to run again, in order, before node `at`.
struct Candidate {
  ValueId value = kNoValue;
  std::vector<size_t> nodes;
  int at = 0;
  double cost_per_byte = 0;
};

/// The node that computes output 0 of node `n` once more.
Node replay(const Graph& graph, size_t n) {
  const Node& node = graph.nodes()[n];
  return node.op->replay == nullptr ? node : node.op->replay(node);
}

/// What is alive when, for one state of the graph. Results in place of an input count as values of their own:
/// the input's memory may still be freed before, theirs after.
class Occupancy {
 public:
  Occupancy(const Graph& graph, const std::vector<ValueId>& outputs)
      : graph_(graph), plan_(plan_lifetimes(graph, outputs, false)), uses_(graph.values().size()) {
    const std::vector<Node>& nodes = graph.nodes();
    shared_.assign(graph.values().size(), false);
    writer_.assign(graph.values().size(), static_cast<int>(nodes.size()));
    for (size_t n = 0; n < nodes.size(); ++n) {
      const NodeTypes types = graph.node_types(nodes[n]);
      for (size_t i = 0; i < nodes[n].inputs.size(); ++i) {
        const ValueId v = nodes[n].inputs[i];
        if (v == kNoValue) continue;
        uses_[static_cast<size_t>(v)].push_back(static_cast<int>(n));
        if (nodes[n].op->writes != nullptr && nodes[n].op->writes(types, i))
          writer_[static_cast<size_t>(v)] = std::min(writer_[static_cast<size_t>(v)], static_cast<int>(n));
      }
    }
    for (const Placement& p : plan_.values)
      if (p.where == Placement::Where::view) shared_[static_cast<size_t>(p.owner)] = true;
    peak_ = find_peak(graph, plan_);
  }

  /// The cheapest value to free at the peak, or one with value kNoValue.
  Candidate best(bool fits) const {
    Candidate best;
    for (size_t v = 0; v < graph_.values().size(); ++v) {
      const Candidate c = candidate(static_cast<ValueId>(v), fits);
      if (c.value == kNoValue) continue;
      if (best.value == kNoValue || c.cost_per_byte < best.cost_per_byte) best = c;
    }
    return best;
  }

 private:
  bool is_small(ValueId v) const { return !peak_.is_worth_a_node(graph_.type(v)); }

  /// Whether a node that runs right before node `at` can read the value.
  bool is_there(ValueId v, int at) const {
    const Value& value = graph_.value(v);
    if (value.kind == ValueKind::input) return true;
    if (value.kind == ValueKind::persistent) return writer_[static_cast<size_t>(v)] >= at;
    // Statistics and the like: kept for longer at no cost.
    if (is_small(v)) return true;
    const std::vector<int>& uses = uses_[static_cast<size_t>(v)];
    return !uses.empty() && uses.back() >= at;
  }

  /// Appends what must run again before node `at` to have `v`; false when that is not possible or too long.
  bool chain(ValueId v, int at, bool fits, std::vector<size_t>& nodes) const {
    const Value& value = graph_.value(v);
    if (value.kind != ValueKind::node) return false;
    const auto index = static_cast<size_t>(value.node);
    const Node& node = graph_.nodes()[index];
    if (node.op->repeat == Repeat::never || (fits && node.op->repeat != Repeat::always)) return false;
    if (node.op->replay != nullptr && v != node.outputs[0]) return false;
    for (const ValueId in : replay(graph_, index).inputs)
      if (in != kNoValue && !is_there(in, at) && !chain(in, at, fits, nodes)) return false;
    if (std::find(nodes.begin(), nodes.end(), index) == nodes.end()) nodes.push_back(index);
    return nodes.size() <= kLongestChain;
  }

  Candidate candidate(ValueId v, bool fits) const {
    const Placement& p = plan_.values[static_cast<size_t>(v)];
    if (p.where != Placement::Where::arena || p.first >= peak_.node || p.last <= peak_.node ||
        shared_[static_cast<size_t>(v)] || is_small(v))
      return {};
    const std::vector<int>& uses = uses_[static_cast<size_t>(v)];
    const auto next = std::lower_bound(uses.begin(), uses.end(), peak_.node);
    if (next == uses.end() || *next == peak_.node) return {};
    Candidate c;
    if (!chain(v, *next, fits, c.nodes)) return {};
    double cost = 0;
    for (const size_t n : c.nodes) {
      const NodeTypes types = graph_.node_types(graph_.nodes()[n]);
      cost += graph_.nodes()[n].op->flops ? graph_.nodes()[n].op->flops(types) : 0;
      for (const TensorType& t : types.outputs) cost += kFlopsPerByte * static_cast<double>(t.bytes());
    }
    c.value = v;
    c.at = *next;
    c.cost_per_byte = cost / static_cast<double>(p.bytes);
    return c;
  }

  const Graph& graph_;
  MemoryPlan plan_;
  std::vector<std::vector<int>> uses_;  // nodes that read a value, in order
  std::vector<bool> shared_;            // there is a view of the value
  std::vector<int> writer_;             // first node that writes a value, or the number of nodes
  Peak peak_;
};

/// Runs the candidate's nodes again; whoever reads the value from then on reads the new one.
void apply(Graph& graph, const Candidate& c) {
  std::vector<Node> nodes = graph.nodes(), repeated;
  std::vector<ValueId> renamed(graph.values().size());
  for (size_t v = 0; v < renamed.size(); ++v) renamed[v] = static_cast<ValueId>(v);
  const auto rename = [&](std::vector<ValueId>& values) {
    for (ValueId& v : values)
      if (v != kNoValue) v = renamed[static_cast<size_t>(v)];
  };
  for (const size_t n : c.nodes) {
    Node again = replay(graph, n);
    again.name += " again";
    rename(again.inputs);
    for (ValueId& v : again.outputs) {
      const ValueId copy = graph.add_value(graph.type(v), graph.value(v).name + " again");
      // Of a replayed node only output 0 is what it was.
      if (again.op->replay == nullptr || v == nodes[n].outputs[0]) renamed[static_cast<size_t>(v)] = copy;
      v = copy;
    }
    repeated.push_back(std::move(again));
  }
  const ValueId copy = renamed[static_cast<size_t>(c.value)];
  const auto at = static_cast<size_t>(c.at);
  for (size_t n = at; n < nodes.size(); ++n)
    std::replace(nodes[n].inputs.begin(), nodes[n].inputs.end(), c.value, copy);
  nodes.insert(nodes.begin() + c.at, std::make_move_iterator(repeated.begin()),
               std::make_move_iterator(repeated.end()));
  graph.replace_nodes(std::move(nodes));
}

}  // namespace

void repeat_nodes(Graph& graph, const std::vector<ValueId>& outputs, size_t arena_bytes) {
  for (size_t left = graph.nodes().size(); left > 0; --left) {
    const bool fits =
        arena_bytes == 0 || find_peak(graph, plan_lifetimes(graph, outputs, true)).bytes <= arena_bytes;
    const Candidate c = Occupancy(graph, outputs).best(fits);
    if (c.value == kNoValue) return;
    apply(graph, c);
  }
}

}  // namespace sfr
