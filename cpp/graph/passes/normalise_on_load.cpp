#include <map>

#include "graph/passes/passes.h"
#include "ops/batch_norm/batch_norm.h"
#include "ops/conv3d/conv3d.h"
#include "ops/strided_conv3d/strided_conv3d.h"

namespace sfr {

namespace {

/// A consumer that can normalise input 0: where its input `norm` stands, and whether skip and skip_norm
/// follow.
struct Consumer {
  size_t norm;
  bool skip;
};

const std::map<std::string, Consumer>& consumers() {
  static const std::map<std::string, Consumer> all = {
      {"conv3d", {kConv3dNorm, true}},
      {"conv3d_backward_weight", {kConv3dWeightNorm, true}},
      {"strided_conv3d", {kStridedConv3dNorm, false}},
      {"strided_conv3d_backward_weight", {kStridedConv3dWeightNorm, false}},
  };
  return all;
}

const BatchNormAttributes& attributes_of(const Node& norm) {
  return *static_cast<const BatchNormAttributes*>(norm.attributes.get());
}

bool has_skip(const Node& norm) {
  return norm.inputs.size() > kBatchNormSkip && norm.inputs[kBatchNormSkip] != kNoValue;
}

class Pass {
 public:
  Pass(Graph& graph, size_t least_bytes) : graph_(graph), nodes_(graph.nodes()) {
    for (size_t n = 0; n < nodes_.size(); ++n) {
      const Node& node = nodes_[n];
      if (node.op->name == "batch_norm" && attributes_of(node).relu &&
          graph.type(node.outputs[0]).bytes() >= least_bytes)
        norms_[node.outputs[0]] = n;
    }
  }

  void run() {
    for (Node& node : nodes_) rewrite(node);
    std::vector<Node> ordered;
    for (size_t n = 0; n < nodes_.size(); ++n) {
      const auto table = tables_.find(n);
      if (table == tables_.end()) {
        ordered.push_back(std::move(nodes_[n]));
        continue;
      }
      if (attributes_of(nodes_[n]).training) nodes_[n] = split(nodes_[n], ordered);
      ordered.push_back(std::move(table->second));
      ordered.push_back(std::move(nodes_[n]));  // dropped later if nobody reads it
    }
    graph_.replace_nodes(std::move(ordered));
  }

 private:
  void rewrite(Node& node) {
    const auto found = consumers().find(node.op->name);
    if (found == consumers().end()) return;
    const Kernel& fastest = node.op->cpu.front();
    if (fastest.refuses != nullptr && fastest.refuses(graph_.node_types(node)) != nullptr) return;
    const auto norm = norms_.find(node.inputs[0]);
    if (norm == norms_.end()) return;
    const Node& from = nodes_[norm->second];
    if (has_skip(from) && !found->second.skip) return;
    node.inputs.resize(found->second.norm, kNoValue);
    node.inputs[0] = from.inputs[0];
    node.inputs.push_back(table_of(norm->second));
    if (!has_skip(from)) return;
    const ValueId skip = from.inputs[kBatchNormSkip];
    const auto other = norms_.find(skip);
    if (other == norms_.end() || has_skip(nodes_[other->second])) {
      node.inputs.push_back(skip);
      return;
    }
    node.inputs.push_back(nodes_[other->second].inputs[0]);
    node.inputs.push_back(table_of(other->second));
  }

  /// The table of a norm, by a node that will stand before it.
  ValueId table_of(size_t norm) {
    const auto made = tables_.find(norm);
    if (made != tables_.end()) return made->second.outputs[0];
    const Node& node = nodes_[norm];
    const bool training = attributes_of(node).training;
    Node table;
    table.op = &OpRegistry::instance().get("batch_norm_table");
    table.name = node.name;
    table.attributes =
        std::make_shared<BatchNormTableAttributes>(BatchNormTableAttributes{attributes_of(node).epsilon});
    table.inputs = {node.inputs[1], node.inputs[2], training ? node.outputs[1] : node.inputs[3],
                    training ? node.outputs[2] : node.inputs[4]};
    table.outputs = {
        graph_.add_value({DType::f32, Shape{3, graph_.type(node.inputs[1]).shape[0]}}, node.name)};
    return tables_.emplace(norm, std::move(table)).first->second.outputs[0];
  }

  /// Appends a node that takes the statistics of a norm, and gives the norm that is left.
  Node split(const Node& norm, std::vector<Node>& ordered) {
    Node statistics;
    statistics.op = &OpRegistry::instance().get("batch_norm_statistics");
    statistics.name = norm.name;
    statistics.attributes = std::make_shared<NoAttributes>();
    statistics.inputs = {norm.inputs[0]};
    statistics.outputs = {norm.outputs[1], norm.outputs[2]};
    ordered.push_back(std::move(statistics));
    Node rest = norm.op->replay(norm);
    for (size_t i : {1, 2}) rest.outputs[i] = graph_.add_value(graph_.type(norm.outputs[i]), norm.name);
    return rest;
  }

  Graph& graph_;
  std::vector<Node> nodes_;
  std::map<ValueId, size_t> norms_;  // normalised volume -> its node
  std::map<size_t, Node> tables_;    // node of a norm -> the node of its table
};

}  // namespace

void normalise_on_load(Graph& graph, size_t least_bytes) {
  Pass(graph, least_bytes).run();
}

}  // namespace sfr
