#include "graph/graph.h"

#include <algorithm>
#include <set>

namespace sfr {

const TensorType& InferContext::input(size_t i, const char* name) const {
  expect(has(i), name, "an input", "none");
  return types_.input(i);
}

void InferContext::expect(bool condition, const char* name, const std::string& expected,
                          const std::string& received, ErrorCode code) const {
  if (!condition)
    throw Error(code, where_ + ": expected " + expected + " for " + name + ", received " + received);
}

void InferContext::expect_dtype(size_t i, const char* name, DType dtype) const {
  const TensorType& t = input(i, name);
  expect(t.dtype == dtype, name, dtype_name(dtype), t.text(), ErrorCode::dtype);
}

void InferContext::expect_rank(size_t i, const char* name, int rank) const {
  const TensorType& t = input(i, name);
  expect(t.shape.rank() == rank, name, std::to_string(rank) + " axes", t.text());
}

void InferContext::expect_shape(size_t i, const char* name, const Shape& shape) const {
  const TensorType& t = input(i, name);
  expect(t.shape == shape, name, shape.text(), t.text());
}

void InferContext::expect_inputs(size_t least, size_t most) const {
  const size_t n = input_count();
  expect(n >= least && n <= most, "inputs",
         least == most ? std::to_string(least) : std::to_string(least) + " to " + std::to_string(most),
         std::to_string(n));
}

ValueId Graph::add_value(TensorType type, const std::string& name) {
  Value v;
  v.type = type;
  v.name = name;
  values_.push_back(std::move(v));
  return static_cast<ValueId>(values_.size() - 1);
}

ValueId Graph::add_input(const std::string& name, TensorType type) {
  for (const Value& v : values_)
    if (v.kind == ValueKind::input && v.name == name)
      throw Error(ErrorCode::usage, "graph: expected a new name for an input, received " + name + " twice");
  const ValueId id = add_value(type, name);
  values_[static_cast<size_t>(id)].kind = ValueKind::input;
  return id;
}

ValueId Graph::add_persistent(const TensorPtr& tensor, const std::string& name) {
  for (size_t i = 0; i < values_.size(); ++i)
    if (values_[i].persistent == tensor) return static_cast<ValueId>(i);
  const ValueId id = add_value(tensor->type(), name);
  values_[static_cast<size_t>(id)].kind = ValueKind::persistent;
  values_[static_cast<size_t>(id)].persistent = tensor;
  return id;
}

const Value& Graph::value(ValueId id) const {
  if (id < 0 || static_cast<size_t>(id) >= values_.size())
    throw Error(ErrorCode::usage, "graph: expected a value of this graph, received id " + std::to_string(id));
  return values_[static_cast<size_t>(id)];
}

NodeTypes Graph::node_types(const Node& node) const {
  NodeTypes types;
  for (const ValueId id : node.inputs) types.inputs.push_back(id == kNoValue ? nullptr : &value(id).type);
  for (const ValueId id : node.outputs) types.outputs.push_back(value(id).type);
  types.attributes = node.attributes.get();
  return types;
}

std::vector<ValueId> Graph::add_node(const std::string& op, const std::vector<ValueId>& inputs,
                                     const AttributeMap& attributes, const std::string& name) {
  const OpDef& def = OpRegistry::instance().get(op);
  return add_node(def, inputs, def.parse(name.empty() ? op : op + " " + name, attributes), name);
}

std::vector<ValueId> Graph::add_node(const OpDef& op, const std::vector<ValueId>& inputs,
                                     std::shared_ptr<const void> attributes, const std::string& name) {
  Node node;
  node.op = &op;
  node.name = name;
  node.inputs = inputs;
  node.attributes = std::move(attributes);
  NodeTypes types = node_types(node);
  InferContext context(name.empty() ? op.name : op.name + " " + name, types);
  op.infer(context);
  for (const TensorType& type : types.outputs) node.outputs.push_back(add_value(type, name));
  for (size_t i = 0; op.writes != nullptr && i < inputs.size(); ++i)
    if (inputs[i] != kNoValue && op.writes(types, i))
      context.expect(value(inputs[i]).kind == ValueKind::persistent, "state", "a persistent tensor",
                     "a computed value", ErrorCode::usage);
  append_node(std::move(node));
  return nodes_.back().outputs;
}

void Graph::append_node(Node node) {
  for (const ValueId out : node.outputs)
    values_[static_cast<size_t>(out)].node = static_cast<int32_t>(nodes_.size());
  nodes_.push_back(std::move(node));
}

namespace {

const OpDef& gradients_op() {
  static const OpDef op = [] {
    OpDef d;
    d.name = kGradientsOp;
    d.infer = [](InferContext& c) {
      for (size_t i = 1; i < c.input_count(); ++i) c.output(c.input(i, "value"));
    };
    return d;
  }();
  return op;
}

}  // namespace

std::vector<ValueId> Graph::add_gradients(ValueId loss, const std::vector<ValueId>& wrt) {
  const TensorType& t = type(loss);
  if (t.dtype != DType::f32 || t.shape.rank() != 0)
    throw Error(ErrorCode::shape, "gradients: expected an f32 scalar for loss, received " + t.text());
  std::set<ValueId> reached = {loss};
  for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
    if (std::none_of(node->outputs.begin(), node->outputs.end(),
                     [&](ValueId v) { return reached.count(v) > 0; }))
      continue;
    for (const ValueId v : node->inputs) reached.insert(v);
  }
  std::vector<ValueId> inputs = {loss};
  for (const ValueId v : wrt) {
    if (reached.count(v) == 0)
      throw Error(ErrorCode::usage, "gradients: expected a loss that depends on " + value(v).name +
                                        ", received one that does not");
    inputs.push_back(v);
  }
  return add_node(gradients_op(), inputs, nullptr, "");
}

void Graph::replace_nodes(std::vector<Node> nodes) {
  nodes_ = std::move(nodes);
  for (Value& v : values_) v.node = -1;
  for (size_t i = 0; i < nodes_.size(); ++i)
    for (const ValueId out : nodes_[i].outputs)
      values_[static_cast<size_t>(out)].node = static_cast<int32_t>(i);
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& names) {
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const std::string& candidate : names) {
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= name.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        const size_t substitute = diagonal + (name[i - 1] == candidate[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace sfr
