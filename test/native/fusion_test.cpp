// fuse_batch_norm: the fused graph gives what the unfused one gives, and fuses exactly where nobody looks in
// between.
#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "expect.h"
#include "graph/program.h"

namespace sfr::test {

namespace {

const Shape kVolume{2, 3, 5, 4, 8};
const Shape kChannels{8};

/// Inputs of a batch-norm block, filled once and shared by both programs; running statistics are state.
struct Block {
  Graph graph;
  std::map<ValueId, TensorPtr> tensors;
  ValueId x, weight, bias, skip;
  std::vector<ValueId> wrt;
  TensorPtr running_mean, running_variance;
  ValueId state_mean, state_variance;

  Block() {
    x = input("x", kVolume);
    weight = input("weight", kChannels);
    bias = input("bias", kChannels);
    skip = input("skip", kVolume);
    wrt = {x, weight, bias};
    running_mean = tensor("running_mean", kChannels);
    running_variance = tensor("running_variance", kChannels);
    for (int64_t i = 0; i < kChannels.count(); ++i) data(running_variance)[i] = 1;
    state_mean = graph.add_persistent(running_mean, "running_mean");
    state_variance = graph.add_persistent(running_variance, "running_variance");
  }

  static float* data(const TensorPtr& t) { return reinterpret_cast<float*>(t->data()); }

  static TensorPtr tensor(const std::string& name, const Shape& shape) {
    auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
    for (int64_t i = 0; i < shape.count(); ++i) {
      const auto w = philox({5, 0, stream_id(name)}, static_cast<uint64_t>(i));
      data(t)[i] = static_cast<float>(normals_from_words(w[0], w[1])[0]);
    }
    return t;
  }

  ValueId input(const std::string& name, const Shape& shape) {
    const ValueId v = graph.add_input(name, {DType::f32, shape});
    tensors[v] = tensor(name, shape);
    return v;
  }

  ValueId node(const char* op, const std::vector<ValueId>& inputs, const AttributeMap& attributes = {}) {
    return graph.add_node(op, inputs, attributes, op)[0];
  }

  /// batch_norm followed by the move of the running statistics, as a layer builds it.
  ValueId norm(bool training = true) {
    const auto out = graph.add_node("batch_norm", {x, weight, bias, state_mean, state_variance},
                                    {{"training", training}}, "norm");
    if (training)
      graph.add_node("batch_norm_update", {state_mean, state_variance, out[1], out[2]},
                     {{"count", static_cast<double>(kVolume.count() / kVolume.back())}}, "update");
    return out[0];
  }

  /// y, and the gradients of sum(w * y) for a fixed w.
  std::vector<ValueId> results(ValueId y) {
    const ValueId w = input("loss weight", graph.type(y).shape);
    const ValueId loss = node("sum", {node("multiply", {y, w})});
    std::vector<ValueId> all = {y};
    for (const ValueId g : graph.add_gradients(loss, wrt)) all.push_back(g);
    return all;
  }
};

/// Nodes of an op, without those that are computed again to save memory.
int count_ops(const Program& program, const std::string& name) {
  const auto& nodes = program.graph().nodes();
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [&](const Node& n) {
    return n.op->name == name && n.name.find(" again") == std::string::npos;
  }));
}

/// Compares results and running statistics of two programs: two roundings of the same formulas, which differ
/// only in where the mask of relu comes from, so a few units in the last place of the largest value are
/// allowed.
void expect_equal(const Program& fused, const Program& plain, const Block& a, const Block& b) {
  const auto compare = [](const TensorPtr& p, const TensorPtr& q, const std::string& what) {
    float largest = 0;
    for (int64_t i = 0; i < q->type().shape.count(); ++i)
      largest = std::max(largest, std::abs(Block::data(q)[i]));
    expect(largest > 0, what + ": all zeros prove nothing");
    for (int64_t i = 0; i < q->type().shape.count(); ++i)
      expect(std::abs(Block::data(p)[i] - Block::data(q)[i]) <= 8 * 1.2e-7f * largest,
             what + " differs at " + std::to_string(i) + ": expected " + std::to_string(Block::data(q)[i]) +
                 ", received " + std::to_string(Block::data(p)[i]));
  };
  for (size_t i = 0; i < plain.outputs().size(); ++i)
    compare(fused.outputs()[i], plain.outputs()[i], "result " + std::to_string(i));
  compare(a.running_mean, b.running_mean, "running mean");
  compare(a.running_variance, b.running_variance, "running variance");
}

/// Builds the same block twice, compiles it with and without fusion, runs both and compares. `build` returns
/// all results. Expects `relus` and `adds` forward nodes to be left in the fused program.
void check(const std::function<std::vector<ValueId>(Block&)>& build, int relus, int adds) {
  Block a, b;
  const std::vector<ValueId> of_a = build(a), of_b = build(b);
  Program fused(a.graph, of_a, CompileOptions{true, true}), plain(b.graph, of_b, CompileOptions{false, true});
  const std::atomic<bool> never{false};
  fused.run(a.tensors, never);
  plain.run(b.tensors, never);
  expect_equal(fused, plain, a, b);
  expect(count_ops(fused, "relu") == relus, "relu nodes left: " + std::to_string(count_ops(fused, "relu")));
  expect(count_ops(fused, "add") == adds, "add nodes left: " + std::to_string(count_ops(fused, "add")));
  expect(count_ops(fused, "batch_norm") == count_ops(plain, "batch_norm"), "batch_norm was lost or doubled");
}

SFR_TEST("fuse_batch_norm/alone") {
  check([](Block& b) { return b.results(b.norm()); }, 0, 0);
}

SFR_TEST("fuse_batch_norm/relu") {
  check([](Block& b) { return b.results(b.node("relu", {b.norm()})); }, 0, 0);
}

SFR_TEST("fuse_batch_norm/relu in evaluation") {
  check([](Block& b) { return b.results(b.node("relu", {b.norm(false)})); }, 0, 0);
}

SFR_TEST("fuse_batch_norm/relu of instance_norm, but no skip") {
  check(
      [](Block& b) {
        b.wrt = {b.x, b.skip};
        return b.results(b.node("add", {b.node("relu", {b.node("instance_norm", {b.x})}), b.skip}));
      },
      0, 1);
}

SFR_TEST("fuse_batch_norm/relu and skip on either side") {
  check(
      [](Block& b) {
        b.wrt.push_back(b.skip);
        return b.results(b.node("add", {b.node("relu", {b.norm()}), b.skip}));
      },
      0, 0);
  check(
      [](Block& b) {
        b.wrt.push_back(b.skip);
        return b.results(b.node("add", {b.skip, b.node("relu", {b.norm()})}));
      },
      0, 0);
}

SFR_TEST("fuse_batch_norm/relu after the skip stays") {
  check([](Block& b) { return b.results(b.node("relu", {b.node("add", {b.norm(), b.skip})})); }, 1, 1);
}

SFR_TEST("fuse_batch_norm/a skip that is computed after batch_norm stays") {
  check(
      [](Block& b) {
        const ValueId y = b.node("relu", {b.norm()});
        return b.results(b.node("add", {y, b.node("affine", {b.skip}, {{"factor", 2.0}})}));
      },
      0, 1);
}

SFR_TEST("fuse_batch_norm/the later of two added blocks takes the earlier as its skip") {
  check(
      [](Block& b) {
        const ValueId first = b.node("relu", {b.norm()});
        return b.results(b.node("add", {first, b.node("relu", {b.norm()})}));
      },
      0, 3);  // the adds that are left sum both gradients of x, weight and bias
}

SFR_TEST("fuse_batch_norm/not where the normalised value is read elsewhere") {
  check(
      [](Block& b) {
        const ValueId norm = b.norm();
        return b.results(b.node("multiply", {b.node("relu", {norm}), norm}));
      },
      1, 1);  // the add sums both gradients of the normalised value
  check(
      [](Block& b) {
        const ValueId norm = b.norm();
        std::vector<ValueId> all = b.results(b.node("relu", {norm}));
        all.push_back(norm);  // an output of the graph
        return all;
      },
      1, 0);
}

SFR_TEST("fuse_batch_norm/not a sum of the value with itself") {
  check(
      [](Block& b) {
        const ValueId y = b.node("relu", {b.norm()});
        return b.results(b.node("add", {y, y}));
      },
      0, 2);  // the second sums both gradients of y
}

SFR_TEST("fuse_batch_norm/not a repeated bias") {
  check([](Block& b) { return b.results(b.node("add", {b.node("relu", {b.norm()}), b.bias})); }, 0, 2);
}

}  // namespace

}  // namespace sfr::test
