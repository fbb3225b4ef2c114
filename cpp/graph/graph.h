// A graph under construction: values and nodes in order of construction, shapes inferred as nodes are added.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "graph/op.h"

namespace sfr {

/// Where a value comes from.
enum class ValueKind {
  node,        // computed by a node of the graph
  input,       // given anew for each run
  persistent,  // state: parameters, optimiser moments, statistics; lives in a Tensor outside the graph
};

struct Value {
  ValueKind kind = ValueKind::node;
  TensorType type;
  int32_t node = -1;     // producer, for kind node
  std::string name;      // unique for inputs
  TensorPtr persistent;  // for kind persistent
};

struct Node {
  const OpDef* op = nullptr;
  std::string name;  // where it was built, for messages: `student/block_one/conv`
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  std::shared_ptr<const void> attributes;
};

/// Nodes stand in an order in which they can run. Copyable: passes work on copies.
class Graph {
 public:
  ValueId add_input(const std::string& name, TensorType type);
  /// The same tensor always gives the same value, so shared weights are one value.
  ValueId add_persistent(const TensorPtr& tensor, const std::string& name);

  /// Infers the outputs' types and appends a node. Throws Error(shape | dtype | usage) that names op and
  /// node.
  std::vector<ValueId> add_node(const std::string& op, const std::vector<ValueId>& inputs,
                                const AttributeMap& attributes, const std::string& name);
  std::vector<ValueId> add_node(const OpDef& op, const std::vector<ValueId>& inputs,
                                std::shared_ptr<const void> attributes, const std::string& name);

  /// Values of d loss / d value for each of `wrt`, usable like any other value. `loss` is an f32 scalar.
  /// They stand as one `gradients` node until compilation, so that fusion sees the forward pass first.
  /// Throws Error(usage) when the loss does not depend on one of them.
  std::vector<ValueId> add_gradients(ValueId loss, const std::vector<ValueId>& wrt);

  const Value& value(ValueId id) const;
  const TensorType& type(ValueId id) const { return value(id).type; }
  const std::vector<Value>& values() const { return values_; }
  const std::vector<Node>& nodes() const { return nodes_; }

  /// Types and attributes of a node, for queries on its op.
  NodeTypes node_types(const Node& node) const;

  // For passes: replace the node list (values of removed nodes stay, unused), append values, store one in
  // another type.
  void replace_nodes(std::vector<Node> nodes);
  void append_node(Node node);
  ValueId add_value(TensorType type, const std::string& name);
  void set_dtype(ValueId v, DType dtype) { values_[static_cast<size_t>(v)].type.dtype = dtype; }

 private:
  std::vector<Value> values_;
  std::vector<Node> nodes_;
};

/// Name of the pseudo-op that stands for gradients until compilation.
inline constexpr const char* kGradientsOp = "gradients";

/// Smallest edit-distance match, for "did you mean".
std::string nearest_name(const std::string& name, const std::vector<std::string>& names);

}  // namespace sfr
