#include "graph/autodiff.h"

#include <algorithm>

namespace sfr {

GradientContext::GradientContext(Graph& graph, const std::vector<ValueId>& inputs,
                                 const std::vector<ValueId>& outputs, const void* attributes,
                                 std::vector<ValueId> output_gradients, std::vector<bool> wanted,
                                 std::string name)
    : graph_(graph),
      inputs_(inputs),
      outputs_(outputs),
      attributes_(attributes),
      output_gradients_(std::move(output_gradients)),
      wanted_(std::move(wanted)),
      name_(std::move(name)),
      gradients_(inputs.size(), kNoValue) {}

const TensorType& GradientContext::type(ValueId value) const {
  return graph_.type(value);
}

ValueId GradientContext::zeros_like(ValueId value) {
  std::vector<double> extents;
  for (const int64_t e : type(value).shape.extents()) extents.push_back(static_cast<double>(e));
  return graph_.add_node("fill", {}, {{"shape", extents}, {"value", 0.0}}, name_ + "'")[0];
}

std::vector<ValueId> GradientContext::add(const char* op, const std::vector<ValueId>& inputs) {
  return add_node(op, inputs, std::make_shared<NoAttributes>());
}

std::vector<ValueId> GradientContext::add_node(const char* op, const std::vector<ValueId>& inputs,
                                               std::shared_ptr<const void> attributes) {
  return graph_.add_node(OpRegistry::instance().get(op), inputs, std::move(attributes), name_ + "'");
}

namespace {

/// Differentiates one loss; nodes are appended to `graph`, which holds all nodes built before.
class ReverseWalk {
 public:
  ReverseWalk(Graph& graph, ValueId loss, std::vector<ValueId> wrt)
      : graph_(graph), loss_(loss), wrt_(std::move(wrt)) {
    wanted_.assign(graph_.values().size(), false);
    for (const ValueId v : wrt_) wanted_[static_cast<size_t>(v)] = true;
    // A value needs a gradient when a wanted value flows into it.
    for (const Node& node : graph_.nodes())
      if (std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return wants(v); }) &&
          node.op->name != "stop_gradient")
        for (const ValueId out : node.outputs) wanted_[static_cast<size_t>(out)] = true;
  }

  std::vector<ValueId> run() {
    gradients_.assign(graph_.values().size(), kNoValue);
    const std::vector<Node> forward = graph_.nodes();
    accumulate(loss_,
               graph_.add_node("fill", {}, {{"value", 1.0}, {"shape", std::vector<double>{}}}, "d loss")[0]);
    for (auto node = forward.rbegin(); node != forward.rend(); ++node) visit(*node);
    std::vector<ValueId> result;
    for (const ValueId v : wrt_) {
      // A loss that reaches the value only through stop_gradient or unused outputs has gradient zero.
      if (gradient(v) == kNoValue) {
        std::vector<double> extents;
        for (const int64_t e : graph_.type(v).shape.extents()) extents.push_back(static_cast<double>(e));
        accumulate(v, graph_.add_node("fill", {}, {{"value", 0.0}, {"shape", extents}}, "zero gradient")[0]);
      }
      result.push_back(gradient(v));
    }
    return result;
  }

 private:
  bool wants(ValueId v) const { return v != kNoValue && wanted_[static_cast<size_t>(v)]; }
  ValueId gradient(ValueId v) const { return gradients_[static_cast<size_t>(v)]; }

  void accumulate(ValueId v, ValueId g) {
    ValueId& sum = gradients_[static_cast<size_t>(v)];
    sum = sum == kNoValue ? g : graph_.add_node("add", {sum, g}, {}, graph_.value(v).name + "'")[0];
  }

  void visit(const Node& node) {
    std::vector<ValueId> output_gradients;
    bool reached = false;
    for (const ValueId out : node.outputs) {
      output_gradients.push_back(gradient(out));
      reached = reached || output_gradients.back() != kNoValue;
    }
    std::vector<bool> wanted;
    for (const ValueId in : node.inputs) wanted.push_back(wants(in));
    if (!reached || node.op->name == "stop_gradient" ||
        std::find(wanted.begin(), wanted.end(), true) == wanted.end())
      return;
    if (node.op->gradient == nullptr)
      throw Error(ErrorCode::usage, "gradients: expected a gradient rule for " + node.op->name + " " +
                                        node.name + ", received none; use stop_gradient before it");
    GradientContext context(graph_, node.inputs, node.outputs, node.attributes.get(), output_gradients,
                            wanted, node.name);
    node.op->gradient(context);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId g = context.gradients()[i];
      if (!wanted[i] || g == kNoValue) continue;
      if (graph_.type(g) != graph_.type(node.inputs[i]))
        throw Error(ErrorCode::internal, "gradients: expected " + graph_.type(node.inputs[i]).text() +
                                             " for input " + std::to_string(i) + " of " + node.op->name +
                                             ", received " + graph_.type(g).text());
      accumulate(node.inputs[i], g);
    }
  }

  Graph& graph_;
  ValueId loss_;
  std::vector<ValueId> wrt_;
  std::vector<bool> wanted_;
  std::vector<ValueId> gradients_;
};

}  // namespace

std::vector<ValueId> differentiate(Graph& graph) {
  const std::vector<Node> original = graph.nodes();
  std::vector<ValueId> replaced(graph.values().size());
  for (size_t i = 0; i < replaced.size(); ++i) replaced[i] = static_cast<ValueId>(i);
  graph.replace_nodes({});
  for (Node node : original) {
    for (ValueId& v : node.inputs)
      if (v != kNoValue && static_cast<size_t>(v) < replaced.size()) v = replaced[static_cast<size_t>(v)];
    if (node.op->name != kGradientsOp) {
      graph.append_node(std::move(node));
      continue;
    }
    const std::vector<ValueId> gradients =
        ReverseWalk(graph, node.inputs[0], {node.inputs.begin() + 1, node.inputs.end()}).run();
    for (size_t i = 0; i < gradients.size(); ++i)
      replaced[static_cast<size_t>(node.outputs[i])] = gradients[i];
  }
  return replaced;
}

}  // namespace sfr
