// repeat_nodes: the same bits with less memory, as far as asked and no further. keep_as_bf16: the same loss,
// gradients of bf16's precision.
#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "expect.h"
#include "graph/program.h"

namespace sfr::test {

namespace {

const Shape kTokens{200, 64};

/// Three residual blocks y = x + gelu(layer_norm(x) W1) W2 with the gradients of W1 and W2.
struct Network {
  Graph graph;
  std::map<ValueId, TensorPtr> tensors;
  std::vector<ValueId> results;

  Network() {
    ValueId x = input("x", kTokens);
    std::vector<ValueId> weights;
    for (int block = 0; block < 3; ++block) {
      const std::string name = std::to_string(block);
      const ValueId scale = input("scale" + name, {64}), shift = input("shift" + name, {64});
      weights.push_back(input("up" + name, {64, 256}));
      const ValueId normal = graph.add_node("layer_norm", {x, scale, shift}, {}, "norm")[0];
      const ValueId hidden = node("gelu", {node("linear", {normal, weights.back()})});
      weights.push_back(input("down" + name, {256, 64}));
      x = node("add", {x, node("linear", {hidden, weights.back()})});
    }
    results = {node("sum", {x})};
    for (const ValueId g : graph.add_gradients(results[0], weights)) results.push_back(g);
  }

  ValueId input(const std::string& name, const Shape& shape) {
    const ValueId v = graph.add_input(name, {DType::f32, shape});
    auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
    for (int64_t i = 0; i < shape.count(); ++i) {
      const auto w = philox({9, 0, stream_id(name)}, static_cast<uint64_t>(i));
      reinterpret_cast<float*>(t->data())[i] = static_cast<float>(0.1 * normals_from_words(w[0], w[1])[0]);
    }
    tensors[v] = t;
    return v;
  }

  ValueId node(const char* op, const std::vector<ValueId>& inputs) {
    return graph.add_node(op, inputs, {}, op)[0];
  }
};

int count_ops(const Program& program, const std::string& name) {
  const auto& nodes = program.graph().nodes();
  return static_cast<int>(
      std::count_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.op->name == name; }));
}

/// A program that has run, and its results.
struct Run {
  Program program;
  std::vector<std::vector<std::byte>> results;

  Run(const Network& network, bool fuse, size_t memory_limit = 0, bool keep_bf16 = false)
      : program((Engine::instance().set_memory_limit(memory_limit), network.graph), network.results,
                CompileOptions{fuse, true, keep_bf16}) {
    Engine::instance().set_memory_limit(0);
    const std::atomic<bool> never{false};
    program.run(network.tensors, never);
    for (const TensorPtr& t : program.outputs())
      results.emplace_back(t->data(), t->data() + t->type().bytes());
  }
};

}  // namespace

SFR_TEST("repeat_nodes/layer norms are computed again and free memory without a limit") {
  const Network network;
  const Run kept(network, false), repeated(network, true);
  expect(count_ops(kept.program, "layer_norm") == 3, "expected 3 layer norms where nothing is repeated");
  expect(count_ops(repeated.program, "layer_norm") > 3, "expected repeated layer norms");
  expect(count_ops(repeated.program, "linear") == 6, "expected no repeated product without a limit");
  expect(repeated.program.plan().arena_bytes < kept.program.plan().arena_bytes, "expected less memory");
  expect(repeated.results == kept.results, "expected the same bits");
}

SFR_TEST("repeat_nodes/a limit repeats products until the program fits") {
  const Network network;
  const Run free(network, true);
  const size_t fixed = free.program.plan().work_bytes + free.program.plan().output_bytes;
  const Run tight(network, true, fixed + free.program.plan().arena_bytes * 3 / 4);
  expect(count_ops(tight.program, "linear") > 6, "expected repeated products");
  expect(tight.program.plan().arena_bytes <= free.program.plan().arena_bytes * 3 / 4, "expected to fit");
  expect(tight.results == free.results, "expected the same bits");
  const Run tightest(network, true, 1);
  expect(tightest.program.plan().arena_bytes <= tight.program.plan().arena_bytes, "expected no more memory");
  expect(tightest.results == free.results, "expected the same bits");
}

SFR_TEST("keep_as_bf16/the loss is the same, gradients are near, memory is less") {
  const Network network;
  const Run f32(network, true), bf16(network, true, 0, true);
  expect(count_ops(bf16.program, "round_bf16") >= 3, "expected a rounded value per block");
  const size_t less = bf16.program.plan().arena_bytes, more = f32.program.plan().arena_bytes;
  expect(less < more * 9 / 10,
         "expected less memory, received " + std::to_string(less) + " of " + std::to_string(more) + " bytes");
  expect(bf16.results[0] == f32.results[0], "expected the loss of f32: the forward pass reads f32");
  double most = 0;
  for (size_t r = 1; r < f32.results.size(); ++r) {
    const auto *a = reinterpret_cast<const float*>(f32.results[r].data()),
               *b = reinterpret_cast<const float*>(bf16.results[r].data());
    double largest = 0, difference = 0;
    for (size_t i = 0; i < f32.results[r].size() / sizeof(float); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(a[i])));
      difference = std::max(difference, std::abs(static_cast<double>(a[i]) - b[i]));
    }
    most = std::max(most, difference / largest);
  }
  // A kept value is off by 2^-9 of itself at most; sums over 200 tokens average that out.
  expect(most > 0 && most < 1.0 / 512, "gradients are off by " + std::to_string(most));
}

SFR_TEST("keep_as_bf16/the bits do not depend on the memory limit") {
  const Network network;
  const Run free(network, true, 0, true), tight(network, true, 1, true);
  expect(tight.results == free.results, "expected the same bits");
}

SFR_TEST("repeat_nodes/a limit that the program fits changes nothing") {
  const Network network;
  const Run free(network, true);
  const Run same(network, true, size_t{1} << 30);
  expect(same.program.graph().nodes().size() == free.program.graph().nodes().size(),
         "expected the same nodes");
}

}  // namespace sfr::test
