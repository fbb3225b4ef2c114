#include <cmath>

#include "core/rng.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/segmentation_loss/segmentation_loss.h"

namespace sfr::test {

namespace {

/// Logits [N, h, w, K] on the grid of labels [N, H, W], half-pixel centres.
template <class T>
std::vector<T> resized(const RefTensor<T>& x, const RefTensor<T>& labels) {
  const int64_t rows = labels.dim(1), columns = labels.dim(2), classes = x.dim(3);
  std::vector<T> y;
  const auto source = [](int64_t i, int64_t in, int64_t out) {
    return std::max((double(i) + 0.5) * double(in) / double(out) - 0.5, 0.0);
  };
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t k = 0; k < classes; ++k) {
          const double at_row = source(i, x.dim(1), rows), at_column = source(j, x.dim(2), columns);
          const auto r = static_cast<int64_t>(at_row), q = static_cast<int64_t>(at_column);
          const auto at = [&](int64_t row, int64_t column) {
            row = std::min(row, x.dim(1) - 1), column = std::min(column, x.dim(2) - 1);
            return x[((n * x.dim(1) + row) * x.dim(2) + column) * classes + k];
          };
          const T a = T(at_row - double(r)), b = T(at_column - double(q));
          y.push_back((1 - a) * ((1 - b) * at(r, q) + b * at(r, q + 1)) +
                      a * ((1 - b) * at(r + 1, q) + b * at(r + 1, q + 1)));
        }
  return y;
}

template <class T>
void segmentation_loss_reference(RefContext<T>& c) {
  const int64_t classes = c.inputs[0].type.shape.back(), count = c.inputs[1].count();
  const std::vector<T> logits =
      c.inputs[0].count() == count * classes ? c.inputs[0].data : resized(c.inputs[0], c.inputs[1]);
  const auto logit = [&](int64_t i) { return logits[static_cast<size_t>(i)]; };
  RefTensor<T>& sums = c.outputs[2];
  T entropy = 0, valid = 0;
  std::vector<T> p(static_cast<size_t>(classes));
  for (int64_t i = 0; i < count; ++i) {
    T top = logit(i * classes), total = 0;
    for (int64_t k = 0; k < classes; ++k) top = std::max(top, logit(i * classes + k));
    for (int64_t k = 0; k < classes; ++k) total += std::exp(logit(i * classes + k) - top);
    const auto label = static_cast<int64_t>(c.inputs[1][i]);
    if (label == kIgnoredLabel) continue;
    for (int64_t k = 0; k < classes; ++k) {
      const T pk = std::exp(logit(i * classes + k) - top) / total, y = label == k ? T(1) : T(0);
      sums[3 * k] += pk * y;
      sums[3 * k + 1] += pk * pk;
      sums[3 * k + 2] += y;
    }
    if (label == kGapLabel) continue;
    valid += 1;
    entropy += top + std::log(total) - logit(i * classes + label);
  }
  const T smooth = T(c.template as<SegmentationLossAttributes>().smooth);
  T dice = 0;
  for (int64_t k = 0; k < classes; ++k)
    dice += 1 - (2 * sums[3 * k] + smooth) / (sums[3 * k + 1] + sums[3 * k + 2] + smooth);
  c.outputs[0][0] = valid > 0 ? entropy / valid : T(0);
  c.outputs[1][0] = dice / T(classes);
}

InputSpec labels(Shape shape, double classes) {
  return {shape, DType::u8, Fill::labels, classes};
}

const std::vector<OpCase> cases = {
    {"one", {}, {{{1, 2}}, labels({1}, 2)}},
    {"one_class",
     {},
     {{{3, 1}, DType::f32, Fill::normal, 1, false, false, {}, false}, labels({3}, 1)},
     true},  // probability 1: both losses are 0
    {"two_classes", {}, {{{2, 5, 7, 2}}, labels({2, 5, 7}, 2)}},
    {"three_classes", {}, {{{1037, 3}, DType::f32, Fill::normal, 3}, labels({1037}, 3)}},
    {"fourteen_classes", {{"smooth", 0.5}}, {{{2, 131, 14}}, labels({2, 131}, 14)}},
    {"ignored", {}, {{{7, 3}}, {{7}, DType::u8, Fill::labels, 1, false, false, {0, 255, 2, 255, 255, 1, 2}}}},
    {"all_ignored",
     {},
     {{{2, 3}, DType::f32, Fill::normal, 1, false, false, {}, false},
      {{2}, DType::u8, Fill::labels, 1, false, false, {255, 255}}},
     true},  // both losses are 0
    {"gaps", {}, {{{7, 3}}, {{7}, DType::u8, Fill::labels, 1, false, false, {0, 254, 2, 254, 255, 1, 2}}}},
    {"all_gaps",
     {},
     {{{2, 3}}, {{2}, DType::u8, Fill::labels, 1, false, false, {254, 254}}},
     true},  // cross-entropy is 0
    {"large_logits", {}, {{{19, 4}, DType::f32, Fill::normal, 1e4}, labels({19}, 4)}},
    {"many", {}, {{{20011, 2}}, labels({20011}, 2)}},
    {"resized_by_four", {}, {{{2, 9, 6, 3}}, labels({2, 36, 24}, 3)}},
    {"resized_oddly", {{"smooth", 0.5}}, {{{1, 5, 7, 4}}, labels({1, 13, 3}, 4)}},
    {"resized_from_one", {}, {{{2, 1, 1, 2}}, labels({2, 3, 5}, 2)}},
    {"resized_rows", {}, {{{1, 70, 20, 2}}, labels({1, 280, 80}, 2)}},
};

SFR_OP_TEST(segmentation_loss, segmentation_loss_reference, cases);

/// d logits of wanted[0] * cross_entropy + wanted[1] * dice for 11 positions of 3 classes; a loss that is not
/// wanted is left out of the graph.
std::vector<float> logit_gradient(std::array<bool, 2> wanted, uint8_t first_label) {
  auto logits = std::make_shared<Tensor>(TensorType{DType::f32, {11, 3}});
  auto labels = std::make_shared<Tensor>(TensorType{DType::u8, {11}});
  for (uint64_t i = 0; i < 33; ++i)
    logits->view().as<float>()[i] = 4 * uniform_from_word(philox({3, 0, 0}, i)[0]);
  for (size_t i = 0; i < 11; ++i) labels->view().as<uint8_t>()[i] = static_cast<uint8_t>(i % 3);
  labels->view().as<uint8_t>()[0] = first_label;
  Graph graph;
  const ValueId x = graph.add_input("logits", logits->type()), y = graph.add_input("labels", labels->type());
  const auto losses = graph.add_node("segmentation_loss", {x, y}, {}, "loss");
  const ValueId loss = wanted[0] && wanted[1] ? graph.add_node("add", {losses[0], losses[1]}, {}, "")[0]
                                              : losses[wanted[0] ? 0 : 1];
  const auto gradients = graph.add_gradients(loss, {x});
  Program program(std::move(graph), gradients, CompileOptions{true, true});
  const std::atomic<bool> never{false};
  program.run({{x, logits}, {y, labels}}, never);
  const float* g = program.outputs()[0]->view().as<float>();
  return {g, g + 33};
}

SFR_TEST("segmentation_loss/either_loss_alone") {
  const auto entropy = logit_gradient({true, false}, kGapLabel),
             dice = logit_gradient({false, true}, kGapLabel);
  const auto both = logit_gradient({true, true}, kGapLabel);
  for (size_t i = 0; i < both.size(); ++i)  // entries are below 1: one rounding of each term
    expect(std::abs(entropy[i] + dice[i] - both[i]) < 1e-6, "gradients of the two losses do not add up");
  for (size_t i = 0; i < 3; ++i) expect(entropy[i] == 0, "a gap takes part in the cross-entropy");
  const auto ignored = logit_gradient({true, true}, kIgnoredLabel);
  for (size_t i = 0; i < 3; ++i)
    expect(dice[i] != 0 && ignored[i] == 0, "Dice takes no gap, or an ignored position");
}

SFR_TEST("segmentation_loss/refuses_labels_out_of_range") {
  expect_error(
      [] {
        logit_gradient({true, true}, 3);
      },
      "expected a class below 3 or 255 (ignored) for labels, received 3 at index 0");
}

}  // namespace

}  // namespace sfr::test
