#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/max_pool3d/max_pool3d.h"

namespace sfr::test {

namespace {

template <class T>
void max_pool3d_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  RefTensor<T>& y = c.outputs[0];
  for (int64_t i = 0; i < x.count(); ++i) {
    const int64_t channel = i % x.dim(4), column = i / x.dim(4) % x.dim(3),
                  row = i / (x.dim(4) * x.dim(3)) % x.dim(2);
    const int64_t slice = i / (x.dim(4) * x.dim(3) * x.dim(2));  // n * D + z; D is even
    const int64_t o = ((slice / 2 * y.dim(2) + row / 2) * y.dim(3) + column / 2) * x.dim(4) + channel;
    const bool is_first = slice % 2 == 0 && row % 2 == 0 && column % 2 == 0;
    if (is_first || x[i] > y[o]) y[o] = x[i];
  }
}

const std::vector<OpCase> cases = {
    {"one_block", {}, {{{1, 2, 2, 2, 1}}}},      {"odd_channels", {}, {{{2, 4, 6, 10, 5}}}},
    {"vectors", {}, {{{2, 4, 2, 6, 16}}}},       {"vectors_and_rest", {}, {{{1, 6, 4, 2, 37}}}},
    {"unet_chunks", {}, {{{2, 12, 14, 10, 8}}}},
};

SFR_OP_TEST(max_pool3d, max_pool3d_reference, cases);

SFR_TEST("max_pool3d: refuses an odd extent") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {1, 4, 3, 2, 1}});
  expect_error([&] { graph.add_node("max_pool3d", {x}, {}, ""); }, "an even depth, height and width");
}

SFR_TEST("max_pool3d: of equal inputs the first in PyTorch's order gets the gradient") {
  // [z][y][x]: the largest stands at (z, y, x) = (1, 1, 0) and (0, 0, 1); x counts most in PyTorch's order.
  const float values[] = {0, 5, 0, 0, 0, 0, 5, 0};
  const auto tensor = [](const Shape& shape, const float* data) {
    auto t = std::make_shared<Tensor>(TensorType{DType::f32, shape});
    std::copy(data, data + shape.count(), reinterpret_cast<float*>(t->data()));
    return t;
  };
  const float one[] = {1};
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {1, 2, 2, 2, 1}}),
                dy = graph.add_input("dy", {DType::f32, {1, 1, 1, 1, 1}});
  Program program(graph, {graph.add_node("max_pool3d_backward", {dy, x}, {}, "")[0]}, CompileOptions{});
  const std::atomic<bool> never{false};
  program.run({{x, tensor({1, 2, 2, 2, 1}, values)}, {dy, tensor({1, 1, 1, 1, 1}, one)}}, never);
  const auto* dx = reinterpret_cast<const float*>(program.outputs()[0]->data());
  for (int i = 0; i < 8; ++i) expect(dx[i] == (i == 6 ? 1.0f : 0.0f), "gradient at " + std::to_string(i));
}

}  // namespace

}  // namespace sfr::test
