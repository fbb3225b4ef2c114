#include <algorithm>
#include <set>

#include "graph/passes/passes.h"

namespace sfr {

namespace {

std::set<ValueId> written_by(const Graph& graph, const Node& node) {
  std::set<ValueId> written;
  if (node.op->writes == nullptr) return written;
  const NodeTypes types = graph.node_types(node);
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (node.inputs[i] != kNoValue && node.op->writes(types, i)) written.insert(node.inputs[i]);
  return written;
}

bool any_in(const std::vector<ValueId>& values, const std::set<ValueId>& set) {
  return std::any_of(values.begin(), values.end(), [&](ValueId v) { return set.count(v) > 0; });
}

}  // namespace

void sink_state_writes(Graph& graph) {
  std::vector<Node> ordered, waiting;
  std::set<ValueId> pending_state, pending_outputs;  // written by, computed by the nodes that wait
  const auto flush = [&] {
    for (Node& w : waiting) ordered.push_back(std::move(w));
    waiting.clear();
    pending_state.clear();
    pending_outputs.clear();
  };
  for (const Node& node : graph.nodes()) {
    const std::set<ValueId> written = written_by(graph, node);
    if (!written.empty()) {
      waiting.push_back(node);
      pending_state.insert(written.begin(), written.end());
      pending_outputs.insert(node.outputs.begin(), node.outputs.end());
      continue;
    }
    // A reader of waiting state or of a waiting node's output needs the writes to happen first.
    if (any_in(node.inputs, pending_state) || any_in(node.inputs, pending_outputs)) flush();
    ordered.push_back(node);
  }
  flush();
  graph.replace_nodes(std::move(ordered));
}

}  // namespace sfr
