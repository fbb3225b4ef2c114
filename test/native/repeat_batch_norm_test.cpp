// repeat_nodes on batch norm: a normalised volume is not kept for its backward pass, and nothing changes by
// that.
#include <algorithm>
#include <cstring>

#include "core/rng.h"
#include "expect.h"
#include "graph/passes/passes.h"
#include "graph/program.h"

namespace sfr::test {

namespace {

const Shape kVolume{1, 16, 16, 16, 8};  // 128 KiB: above what the pass looks at

/// Some convolutions with batch-norm and ReLU in a row, the first one's output added to the last.
struct Chain {
  Graph graph;
  std::map<ValueId, TensorPtr> tensors;
  std::vector<ValueId> parameters;
  TensorPtr first_scale;

  static TensorPtr filled(const Shape& shape, const std::string& name, float offset) {
    auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
    for (int64_t i = 0; i < shape.count(); ++i) {
      const auto w = philox({9, 0, stream_id(name)}, static_cast<uint64_t>(i));
      reinterpret_cast<float*>(t->data())[i] =
          offset + 0.1f * static_cast<float>(normals_from_words(w[0], w[1])[0]);
    }
    return t;
  }

  ValueId input(const std::string& name, const Shape& shape, float offset = 0) {
    const ValueId v = graph.add_input(name, {DType::f32, shape});
    tensors[v] = filled(shape, name, offset);
    return v;
  }

  ValueId node(const char* op, const std::vector<ValueId>& inputs, const AttributeMap& attributes = {}) {
    return graph.add_node(op, inputs, attributes, op)[0];
  }

  ValueId block(ValueId x, const std::string& name) {
    const ValueId weight = input(name + "/weight", {3, 3, 3, 8, 8});
    const TensorPtr scale = filled({8}, name + "/scale", 1);
    const ValueId state = graph.add_persistent(scale, name + "/scale");
    if (!first_scale) first_scale = scale;
    const ValueId zero = input(name + "/mean", {8}), one = input(name + "/variance", {8}, 1);
    parameters.push_back(weight);
    parameters.push_back(state);
    return node("relu", {node("batch_norm", {node("conv3d", {x, weight}), state, zero, zero, one})});
  }

  ValueId network() {
    const ValueId first = block(input("x", kVolume), "first");
    ValueId y = first;
    for (const char* name : {"a", "b", "c", "d", "e"}) y = block(y, name);
    return node("sum", {node("multiply", {node("add", {y, first}), node("add", {y, first})})});
  }
};

size_t count_ops(const Graph& graph, const std::string& name) {
  return static_cast<size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                           [&](const Node& n) { return n.op->name == name; }));
}

SFR_TEST("repeat_nodes/batch norm: the same results with less memory") {
  Chain a, b;
  const auto build = [](Chain& chain) {
    const ValueId loss = chain.network();
    std::vector<ValueId> results = {loss};
    for (const ValueId g : chain.graph.add_gradients(loss, chain.parameters)) results.push_back(g);
    return results;
  };
  const std::vector<ValueId> of_a = build(a), of_b = build(b);
  Program fused(a.graph, of_a, CompileOptions{true, true}), plain(b.graph, of_b, CompileOptions{false, true});
  const std::atomic<bool> never{false};
  fused.run(a.tensors, never);
  plain.run(b.tensors, never);
  for (size_t i = 0; i < of_a.size(); ++i) {
    const auto* p = reinterpret_cast<const float*>(fused.outputs()[i]->data());
    const auto* q = reinterpret_cast<const float*>(plain.outputs()[i]->data());
    const int64_t count = fused.outputs()[i]->type().shape.count();
    float largest = 0;
    for (int64_t k = 0; k < count; ++k) largest = std::max(largest, std::abs(q[k]));
    expect(largest > 0, "all zeros prove nothing");
    // The fused pass adds the skip in another place: sums of thousands of terms differ in their last bits.
    for (int64_t k = 0; k < count; ++k)
      expect(std::abs(p[k] - q[k]) <= 1e-5f * largest, "result " + std::to_string(i) + " differs");
  }
  expect(count_ops(fused.graph(), "batch_norm") > 6, "nothing was computed again");
  const size_t volume = static_cast<size_t>(kVolume.count()) * 4;
  expect(fused.plan().arena_bytes < 12 * volume, "6 convolution outputs and a few gradients, not twice that");
}

SFR_TEST("repeat_nodes/batch norm: inference keeps what it has") {
  Chain chain;
  const ValueId loss = chain.network();
  const Program program(chain.graph, {loss}, CompileOptions{true, true});
  expect(count_ops(program.graph(), "batch_norm") == 6, "computed again for nothing");
}

SFR_TEST("repeat_nodes/batch norm: not from a parameter that was written since") {
  for (const bool written : {false, true}) {
    Chain chain;
    chain.network();
    if (written)
      chain.graph.add_node("ema",
                           {chain.input("alpha", {}), chain.graph.add_persistent(chain.first_scale, ""),
                            chain.input("other", {8})},
                           {}, "ema");
    // Late readers of the first block's normalised volume and, so that it is kept, of its convolution.
    std::vector<ValueId> outputs;
    for (const size_t n : {1, 0}) outputs.push_back(chain.node("sum", {chain.graph.nodes()[n].outputs[0]}));
    repeat_nodes(chain.graph, outputs, 0);
    expect(count_ops(chain.graph, "batch_norm") == (written ? 6 : 7),
           written ? "computed again with another scale" : "kept for its late reader");
  }
}

}  // namespace

}  // namespace sfr::test
