#include "graph/verify.h"

namespace sfr {

namespace {

[[noreturn]] void fail(const std::string& stage, const Node& node, const std::string& what) {
  throw Error(ErrorCode::internal,
              "verify after " + stage + ": " + node.op->name + " " + node.name + ": " + what);
}

/// The type that an op's contract knows for one of its operands: f32 for bf16 that its CUDA kernels take.
TensorType by_contract(const TensorType& type, Operands bf16, size_t i) {
  return {type.dtype == DType::bf16 && contains(bf16, i) ? DType::f32 : type.dtype, type.shape};
}

void verify_types(const Graph& graph, const Node& node, const std::string& stage) {
  NodeTypes types = graph.node_types(node);
  std::vector<TensorType> declared = types.outputs, inputs(types.inputs.size());
  for (size_t i = 0; i < declared.size(); ++i)
    declared[i] = by_contract(declared[i], node.op->bf16_outputs, i);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (types.inputs[i] == nullptr) continue;
    inputs[i] = by_contract(*types.inputs[i], node.op->bf16_inputs, i);
    types.inputs[i] = &inputs[i];
  }
  types.outputs.clear();
  InferContext context(node.op->name + " " + node.name, types);
  node.op->infer(context);
  if (types.outputs.size() != declared.size())
    fail(stage, node,
         "expected " + std::to_string(types.outputs.size()) + " outputs, received " +
             std::to_string(declared.size()));
  for (size_t i = 0; i < declared.size(); ++i)
    if (types.outputs[i] != declared[i])
      fail(stage, node,
           "expected " + types.outputs[i].text() + " for output " + std::to_string(i) + ", received " +
               declared[i].text());
}

}  // namespace

void verify_graph(const Graph& graph, const std::vector<ValueId>& outputs, const std::string& stage) {
  std::vector<bool> ready(graph.values().size());
  for (size_t i = 0; i < ready.size(); ++i) ready[i] = graph.values()[i].kind != ValueKind::node;
  for (const Node& node : graph.nodes()) {
    for (const ValueId in : node.inputs)
      if (in != kNoValue && !ready[static_cast<size_t>(in)])
        fail(stage, node, "reads a value before it is computed");
    for (const ValueId out : node.outputs) {
      if (ready[static_cast<size_t>(out)]) fail(stage, node, "computes a value that exists already");
      ready[static_cast<size_t>(out)] = true;
    }
    const NodeTypes types = graph.node_types(node);
    for (size_t i = 0; node.op->writes != nullptr && i < node.inputs.size(); ++i)
      if (node.inputs[i] != kNoValue && node.op->writes(types, i) &&
          graph.value(node.inputs[i]).kind != ValueKind::persistent)
        fail(stage, node, "writes a value that is not persistent");
    verify_types(graph, node, stage);
  }
  for (const ValueId out : outputs)
    if (!ready[static_cast<size_t>(out)])
      throw Error(ErrorCode::internal, "verify after " + stage + ": output " + graph.value(out).name +
                                           " is not computed by any node");
}

}  // namespace sfr
