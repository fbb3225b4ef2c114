#include <algorithm>
#include <map>

#include "graph/memory_plan.h"
#include "graph/passes/passes.h"

namespace sfr {

namespace {

/// A value that waits: rounded behind node `last_before`, read by nodes `after` from then on.
struct Waiting {
  ValueId value;
  size_t last_before;
  std::vector<size_t> after;
};

/// The values that wait for the backward pass at the peak and are not read there.
std::vector<Waiting> find_waiting(const Graph& graph, const std::vector<ValueId>& outputs, size_t built) {
  const std::vector<Node>& nodes = graph.nodes();
  const MemoryPlan plan = plan_lifetimes(graph, outputs, false);
  const Peak peak = find_peak(graph, plan);
  const auto at = static_cast<size_t>(peak.node);
  std::map<ValueId, std::vector<size_t>> readers;
  for (size_t n = 0; n < nodes.size(); ++n)
    for (const ValueId v : nodes[n].inputs)
      if (readers[v].empty() || readers[v].back() != n) readers[v].push_back(n);
  const auto is_backward = [&](size_t n) {
    return !nodes[n].outputs.empty() && static_cast<size_t>(nodes[n].outputs[0]) >= built;
  };
  std::vector<Waiting> found;
  for (size_t v = 0; v < built; ++v) {
    const auto id = static_cast<ValueId>(v);
    const Value& value = graph.value(id);
    const Placement& p = plan.values[v];
    if (value.kind != ValueKind::node || value.type.dtype != DType::f32 || p.first >= peak.node ||
        p.where == Placement::Where::output || p.where == Placement::Where::nowhere ||
        !peak.is_worth_a_node(value.type))
      continue;
    Waiting w{id, static_cast<size_t>(p.first), {}};
    bool waits = true;
    for (const size_t n : readers[id]) {
      if (n < at) w.last_before = n;
      if (n > at) w.after.push_back(n);
      waits = waits && n != at && (n < at || is_backward(n));
    }
    if (waits && !w.after.empty()) found.push_back(std::move(w));
  }
  return found;
}

void insert_nodes(Graph& graph, const std::vector<Waiting>& waiting) {
  const OpDef &round = OpRegistry::instance().get("round_bf16"),
              &widen = OpRegistry::instance().get("widen_bf16");
  std::vector<Node> nodes = graph.nodes();
  std::vector<std::vector<Node>> before(nodes.size()), behind(nodes.size());
  const auto attributes = round.parse(round.name, {});
  for (const Waiting& w : waiting) {
    const std::string& name = graph.value(w.value).name;
    const Shape& shape = graph.type(w.value).shape;
    const ValueId kept = graph.add_value({DType::bf16, shape}, name + " bf16");
    behind[w.last_before].push_back({&round, name + " bf16", {w.value}, {kept}, attributes});
    for (const size_t n : w.after) {
      const ValueId copy = graph.add_value(graph.type(w.value), name + " widened");
      before[n].push_back({&widen, name + " widened", {kept}, {copy}, attributes});
      std::replace(nodes[n].inputs.begin(), nodes[n].inputs.end(), w.value, copy);
    }
  }
  std::vector<Node> all;
  for (size_t n = 0; n < nodes.size(); ++n) {
    for (Node& node : before[n]) all.push_back(std::move(node));
    all.push_back(std::move(nodes[n]));
    for (Node& node : behind[n]) all.push_back(std::move(node));
  }
  graph.replace_nodes(std::move(all));
}

}  // namespace

void keep_as_bf16(Graph& graph, const std::vector<ValueId>& outputs, size_t built) {
  // What is rounded moves the peak; each round takes readers from f32 values, so there is a last one.
  for (;;) {
    const std::vector<Waiting> waiting = find_waiting(graph, outputs, built);
    if (waiting.empty()) return;
    insert_nodes(graph, waiting);
  }
}

}  // namespace sfr
