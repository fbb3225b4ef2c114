#include <algorithm>
#include <cmath>

#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/window_accumulate/window_accumulate.h"

namespace sfr::test {

namespace {

template <class T>
void accumulate_reference(RefContext<T>& c) {
  auto &sums = c.inputs[0], &counts = c.inputs[1];
  const auto &logits = c.inputs[2], &offset = c.inputs[3];
  const int first = logits.type.shape.rank() - 4;
  const int64_t d = logits.dim(first), h = logits.dim(first + 1), w = logits.dim(first + 2),
                classes = sums.dim(3), mirror = c.template as<WindowAccumulateAttributes>().mirror;
  for (int64_t i = 0; i < d * h * w; ++i) {
    const int64_t z = i / (h * w) + static_cast<int64_t>(offset[2]),
                  y = i / w % h + static_cast<int64_t>(offset[1]);
    const int64_t voxel = (z * sums.dim(1) + y) * sums.dim(2) + i % w + static_cast<int64_t>(offset[0]);
    const int64_t sz = mirror & 4 ? d - 1 - i / (h * w) : i / (h * w),
                  sy = mirror & 2 ? h - 1 - i / w % h : i / w % h, sx = mirror & 1 ? w - 1 - i % w : i % w;
    const int64_t from = ((sz * h + sy) * w + sx) * classes;
    T top = logits[from], total = 0;
    for (int64_t k = 0; k < classes; ++k) top = std::max(top, logits[from + k]);
    for (int64_t k = 0; k < classes; ++k) total += std::exp(logits[from + k] - top);
    const T weight = c.has(4) ? c.inputs[4][i] : T(1);
    for (int64_t k = 0; k < classes; ++k)
      sums[voxel * classes + k] += weight * std::exp(logits[from + k] - top) / total;
    counts[voxel] += weight;
  }
}

template <class T>
void mean_reference(RefContext<T>& c) {
  const int64_t classes = c.inputs[0].dim(3);
  for (int64_t i = 0; i < c.inputs[0].count(); ++i) {
    const T count = c.inputs[1][i / classes];
    c.outputs[0][i] = count > 0 ? c.inputs[0][i] / count : 0;
  }
}

InputSpec state(Shape shape, Fill fill) {
  InputSpec spec = {shape, DType::f32, fill};
  spec.state = true;
  return spec;
}

InputSpec offset(double x, double y, double z) {
  InputSpec spec = {{3}, DType::i32};
  spec.values = {x, y, z};
  return spec;
}

InputSpec absent() {
  return {{1}, DType::f32, Fill::zeros, 1, false, true};
}

OpCase accumulate_case(std::string name, Shape volume, Shape logits, InputSpec at, double mirror = 0,
                       InputSpec weights = absent()) {
  return {std::move(name),
          {{"mirror", mirror}},
          {state(volume, Fill::positive),
           state({volume[0], volume[1], volume[2]}, Fill::ones),
           {logits, DType::f32, Fill::normal, 4},
           std::move(at),
           std::move(weights)}};
}

const std::vector<OpCase> accumulate_cases = {
    accumulate_case("one", {1, 1, 1, 2}, {1, 1, 1, 2}, offset(0, 0, 0)),
    accumulate_case("corner", {7, 9, 13, 2}, {3, 5, 7, 2}, offset(6, 4, 4)),
    accumulate_case("batch_axis_many_classes", {6, 11, 17, 14}, {1, 5, 7, 13, 14}, offset(2, 1, 0)),
    accumulate_case("whole", {12, 24, 33, 3}, {12, 24, 33, 3}, offset(0, 0, 0)),
    accumulate_case("mirrored_x", {7, 9, 13, 2}, {3, 5, 7, 2}, offset(6, 4, 4), 1),
    accumulate_case("mirrored_y_z", {7, 9, 13, 3}, {3, 5, 7, 3}, offset(0, 4, 1), 6),
    accumulate_case("weighted", {5, 7, 19, 3}, {3, 5, 17, 3}, offset(1, 2, 2), 0,
                    {{3, 5, 17}, DType::f32, Fill::positive}),
    accumulate_case("weighted_mirrored", {5, 7, 19, 14}, {3, 5, 17, 14}, offset(2, 0, 1), 7,
                    {{3, 5, 17}, DType::f32, Fill::positive}),
};
const std::vector<OpCase> mean_cases = {
    {"one", {}, {{{1, 1, 1, 1}}, {{1, 1, 1}, DType::f32, Fill::ones}}},
    {"with_gaps", {}, {{{5, 7, 11, 3}}, {{5, 7, 11}, DType::f32, Fill::indices, 4}}},
    {"large", {}, {{{16, 24, 33, 2}}, {{16, 24, 33}, DType::f32, Fill::indices, 9}}},
};

SFR_OP_TEST(window_accumulate, accumulate_reference, accumulate_cases);
SFR_OP_TEST(window_mean, mean_reference, mean_cases);

SFR_TEST("window_accumulate: a window over the edge is an error and writes nothing") {
  Graph graph;
  const auto sums = std::make_shared<Tensor>(TensorType{DType::f32, {4, 5, 6, 2}});
  const auto counts = std::make_shared<Tensor>(TensorType{DType::f32, {4, 5, 6}});
  const auto at = std::make_shared<Tensor>(TensorType{DType::i32, {3}});
  const auto logits = std::make_shared<Tensor>(TensorType{DType::f32, {2, 2, 2, 2}});
  const ValueId l = graph.add_input("logits", logits->type()), o = graph.add_input("offset", at->type());
  const ValueId s = graph.add_persistent(sums, "sums"), n = graph.add_persistent(counts, "counts");
  graph.add_node("window_accumulate", {s, n, l, o, kNoValue}, {}, "");
  Program program(std::move(graph), {}, {});
  reinterpret_cast<int32_t*>(at->data())[1] = 4;
  const std::atomic<bool> never{false};
  expect_error(
      [&] {
        program.run({{l, logits}, {o, at}}, never);
      },
      "expected 0 to 3 for offset y, received 4");
  const auto* count = reinterpret_cast<const float*>(counts->data());
  expect(std::all_of(count, count + 4 * 5 * 6, [](float v) { return v == 0; }), "counts were written");
}

}  // namespace

}  // namespace sfr::test
