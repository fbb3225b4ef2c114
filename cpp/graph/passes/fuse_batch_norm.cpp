#include <algorithm>
#include <map>

#include "graph/passes/passes.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr {

namespace {

/// How often each value is read, counting graph outputs.
std::vector<int> count_readers(const Graph& graph, const std::vector<ValueId>& outputs) {
  std::vector<int> readers(graph.values().size(), 0);
  for (const ValueId v : outputs) ++readers[static_cast<size_t>(v)];
  for (const Node& node : graph.nodes())
    for (const ValueId v : node.inputs)
      if (v != kNoValue) ++readers[static_cast<size_t>(v)];
  return readers;
}

}  // namespace

void fuse_batch_norm(Graph& graph, const std::vector<ValueId>& outputs) {
  const std::vector<int> readers = count_readers(graph, outputs);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> removed(nodes.size(), false);
  std::map<ValueId, size_t> ends;  // last value of a chain that starts with batch_norm -> its node
  for (size_t i = 0; i < nodes.size(); ++i) {
    Node& node = nodes[i];
    if (node.op->name == "batch_norm") {
      ends[node.outputs[0]] = i;
      continue;
    }
    const bool is_relu = node.op->name == "relu", is_add = node.op->name == "add";
    if (!is_relu && !is_add) continue;
    for (size_t side = 0; side < node.inputs.size(); ++side) {
      const auto end = ends.find(node.inputs[side]);
      if (end == ends.end() || readers[static_cast<size_t>(node.inputs[side])] != 1) continue;
      const Node& norm = nodes[end->second];
      BatchNormAttributes attributes = *static_cast<const BatchNormAttributes*>(norm.attributes.get());
      if (is_relu == attributes.relu) continue;  // relu comes first and once, then the skip
      if (norm.inputs.size() > kBatchNormSkip) continue;
      Node fused = norm;
      if (is_relu) {
        attributes.relu = true;
      } else {
        const ValueId skip = node.inputs[1 - side];
        if (graph.type(skip) != graph.type(node.outputs[0]) || skip == node.inputs[side]) continue;
        fused.inputs.resize(kBatchNormSkip, kNoValue);
        fused.inputs.push_back(skip);
      }
      fused.attributes = std::make_shared<BatchNormAttributes>(attributes);
      fused.outputs[0] = node.outputs[0];
      // The fused node stands where the last of the chain stood: the skip exists by then, and nobody reads
      // the values in between.
      removed[end->second] = true;
      nodes[i] = fused;
      ends.erase(end);
      ends[fused.outputs[0]] = i;
      break;
    }
  }
  std::vector<Node> kept;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (!removed[i]) kept.push_back(std::move(nodes[i]));
  graph.replace_nodes(std::move(kept));
}

}  // namespace sfr
