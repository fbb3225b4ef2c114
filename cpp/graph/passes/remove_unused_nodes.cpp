#include <algorithm>

#include "graph/passes/passes.h"

namespace sfr {

void remove_unused_nodes(Graph& graph, const std::vector<ValueId>& outputs) {
  std::vector<bool> needed(graph.values().size(), false);
  for (const ValueId v : outputs) needed[static_cast<size_t>(v)] = true;
  std::vector<Node> kept;
  const std::vector<Node>& nodes = graph.nodes();
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
    bool used = false;
    for (const ValueId out : node->outputs) used = used || needed[static_cast<size_t>(out)];
    const NodeTypes types = graph.node_types(*node);
    for (size_t i = 0; node->op->writes != nullptr && i < node->inputs.size(); ++i)
      used = used || (node->inputs[i] != kNoValue && node->op->writes(types, i));
    if (!used) continue;
    for (const ValueId in : node->inputs)
      if (in != kNoValue) needed[static_cast<size_t>(in)] = true;
    kept.push_back(*node);
  }
  std::reverse(kept.begin(), kept.end());
  graph.replace_nodes(std::move(kept));
}

}  // namespace sfr
