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

/// Whether a value exists before node `index` runs.
bool exists_before(const Graph& graph, ValueId v, size_t index) {
  const Value& value = graph.value(v);
  return value.kind != ValueKind::node || value.node < static_cast<int32_t>(index);
}

/// Takes relu, or the addition of a skip, into the norm node whose output 0 is input `side` of `next`.
/// Returns false and changes nothing where that is not possible.
bool absorb(const Graph& graph, Node& norm, size_t norm_index, const Node& next, size_t side) {
  BatchNormAttributes attributes = *static_cast<const BatchNormAttributes*>(norm.attributes.get());
  const bool is_relu = next.op->name == "relu";
  // relu comes first and once, then the skip, which instance_norm has not.
  if (is_relu == attributes.relu || norm.inputs.size() > kBatchNormSkip) return false;
  if (!is_relu && norm.op->name != "batch_norm") return false;
  if (is_relu) {
    attributes.relu = true;
  } else {
    const ValueId skip = next.inputs[1 - side];
    if (graph.type(skip) != graph.type(next.outputs[0]) || !exists_before(graph, skip, norm_index))
      return false;
    norm.inputs.resize(kBatchNormSkip, kNoValue);
    norm.inputs.push_back(skip);
  }
  norm.attributes = std::make_shared<BatchNormAttributes>(attributes);
  norm.outputs[0] = next.outputs[0];
  return true;
}

}  // namespace

void fuse_batch_norm(Graph& graph, const std::vector<ValueId>& outputs) {
  const std::vector<int> readers = count_readers(graph, outputs);
  std::vector<Node> nodes = graph.nodes();
  std::vector<bool> removed(nodes.size(), false);
  std::map<ValueId, size_t> ends;  // last value of a chain that starts with a norm -> its node
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    if (node.op->name == "batch_norm" || node.op->name == "instance_norm") ends[node.outputs[0]] = i;
    if (node.op->name != "relu" && node.op->name != "add") continue;
    for (size_t side = 0; side < node.inputs.size() && !removed[i]; ++side) {
      const auto end = ends.find(node.inputs[side]);
      if (end == ends.end() || readers[static_cast<size_t>(node.inputs[side])] != 1) continue;
      // The fused node stays where the norm stood: nodes in between may read its statistics or write the
      // running ones, and whoever reads the chain's end comes later anyway.
      const size_t norm = end->second;
      if (!absorb(graph, nodes[norm], norm, node, side)) continue;
      removed[i] = true;
      ends.erase(end);
      ends[nodes[norm].outputs[0]] = norm;
    }
  }
  std::vector<Node> kept;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (!removed[i]) kept.push_back(std::move(nodes[i]));
  graph.replace_nodes(std::move(kept));
}

}  // namespace sfr
