// normalise_on_load: convolutions read what stands before a batch-norm, and not a bit changes by that.
#include <algorithm>

#include "core/rng.h"
#include "expect.h"
#include "graph/autodiff.h"
#include "graph/passes/passes.h"
#include "graph/program.h"

namespace sfr::test {

namespace {

const Shape kVolume{1, 4, 12, 16, 16};

/// A V-Net of two levels: a convolution, one down, one up with the first one's output as skip, two more.
struct Network {
  Graph graph;
  std::map<ValueId, TensorPtr> tensors;
  std::vector<ValueId> weights, results;
  bool training;

  explicit Network(bool trains) : training(trains) {
    const AttributeMap block = {{"block", std::vector<double>{2, 2, 2}}};
    const ValueId first = norm(node("conv3d", {input("x", kVolume), weight({3, 3, 3, 16, 16})}));
    const ValueId down = norm(node("strided_conv3d", {first, weight({128, 32})}, block));
    const ValueId up = norm(node("transposed_conv3d", {down, weight({32, 128})}, block));
    const ValueId both = node("add", {up, first});
    const ValueId a = norm(node("conv3d", {both, weight({3, 3, 3, 16, 16})}));
    const ValueId b = node("conv3d", {a, weight({3, 3, 3, 16, 16})});
    results = {node("sum", {node("multiply", {b, b})})};
    for (const ValueId g : graph.add_gradients(results[0], weights)) results.push_back(g);
  }

  ValueId input(const std::string& name, const Shape& shape, float offset = 0) {
    const ValueId v = graph.add_input(name, {DType::f32, shape});
    auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
    for (int64_t i = 0; i < shape.count(); ++i) {
      const auto w = philox({9, 0, stream_id(name)}, static_cast<uint64_t>(i));
      reinterpret_cast<float*>(t->data())[i] =
          offset + 0.1f * static_cast<float>(normals_from_words(w[0], w[1])[0]);
    }
    tensors[v] = t;
    return v;
  }

  ValueId weight(const Shape& shape) {
    weights.push_back(input("weight" + std::to_string(weights.size()), shape));
    return weights.back();
  }

  ValueId node(const char* op, const std::vector<ValueId>& inputs, const AttributeMap& attributes = {}) {
    return graph.add_node(op, inputs, attributes, op)[0];
  }

  ValueId norm(ValueId x) {
    const Shape channels{graph.type(x).shape.back()};
    const std::string name = "norm" + std::to_string(weights.size()) + "/";
    return node("relu", {node("batch_norm",
                              {x, input(name + "scale", channels, 1), input(name + "shift", channels),
                               input(name + "mean", channels), input(name + "variance", channels, 1)},
                              {{"training", training}})});
  }
};

size_t count_ops(const Program& program, const std::string& name) {
  const auto& nodes = program.graph().nodes();
  return static_cast<size_t>(
      std::count_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.op->name == name; }));
}

/// The network as a program, with or without the pass; small volumes need its bound lowered.
Program compiled(const Network& network, bool on_load) {
  Graph graph = network.graph;
  fuse_batch_norm(graph, network.results);
  const std::vector<ValueId> now = differentiate(graph);
  std::vector<ValueId> outputs;
  for (const ValueId v : network.results) outputs.push_back(now[static_cast<size_t>(v)]);
  if (on_load) normalise_on_load(graph, 0);
  return Program(std::move(graph), outputs, CompileOptions{true, true});
}

void check(bool training) {
  const Network network(training);
  Program loads = compiled(network, true), stores = compiled(network, false);
  const std::atomic<bool> never{false};
  loads.run(network.tensors, never);
  stores.run(network.tensors, never);
  for (size_t i = 0; i < network.results.size(); ++i) {
    const Tensor &a = *loads.outputs()[i], &b = *stores.outputs()[i];
    expect(std::equal(a.data(), a.data() + a.type().bytes(), b.data()),
           "result " + std::to_string(i) + " differs");
  }
  // Only what the transposed convolution reads is still written.
  expect(count_ops(loads, "batch_norm") < count_ops(stores, "batch_norm"),
         "expected fewer normalised volumes");
  expect(count_ops(loads, "batch_norm_statistics") == (training ? 3 : 0), "expected statistics alone");
  expect(count_ops(stores, "batch_norm_table") == 0, "expected nothing where the pass did not run");
}

SFR_TEST("normalise_on_load/the same bits when training") {
  check(true);
}

SFR_TEST("normalise_on_load/the same bits in evaluation") {
  check(false);
}

SFR_TEST("normalise_on_load/small volumes stay as they are") {
  const Network network(true);
  Graph graph = network.graph;
  const size_t nodes = graph.nodes().size();
  normalise_on_load(graph, kVolume.count() * sizeof(float) + 1);
  expect(graph.nodes().size() == nodes, "expected the same nodes");
}

}  // namespace

}  // namespace sfr::test
