#include <cmath>

#include "native/op_test.h"
#include "ops/segmentation_loss/segmentation_loss.h"

namespace sfr::test {

namespace {

template <class T>
void segmentation_loss_reference(RefContext<T>& c) {
  const int64_t classes = c.inputs[0].type.shape.back(), count = c.inputs[1].count();
  RefTensor<T>& sums = c.outputs[2];
  T entropy = 0, valid = 0;
  std::vector<T> p(static_cast<size_t>(classes));
  for (int64_t i = 0; i < count; ++i) {
    T top = c.inputs[0][i * classes], total = 0;
    for (int64_t k = 0; k < classes; ++k) top = std::max(top, c.inputs[0][i * classes + k]);
    for (int64_t k = 0; k < classes; ++k) total += std::exp(c.inputs[0][i * classes + k] - top);
    const auto label = static_cast<int64_t>(c.inputs[1][i]);
    for (int64_t k = 0; k < classes; ++k) {
      const T pk = std::exp(c.inputs[0][i * classes + k] - top) / total, y = label == k ? T(1) : T(0);
      sums[3 * k] += pk * y;
      sums[3 * k + 1] += pk * pk;
      sums[3 * k + 2] += y;
    }
    if (label == 255) continue;
    valid += 1;
    entropy += top + std::log(total) - c.inputs[0][i * classes + label];
  }
  const T smooth = T(c.template as<SegmentationLossAttributes>().smooth);
  T dice = 0;
  for (int64_t k = 0; k < classes; ++k)
    dice += 1 - (2 * sums[3 * k] + smooth) / (sums[3 * k + 1] + sums[3 * k + 2] + smooth);
  c.outputs[0][0] = valid > 0 ? entropy / valid : T(0);
  c.outputs[1][0] = dice / T(classes);
}

InputSpec labels(Shape shape, double classes) { return {shape, DType::u8, Fill::labels, classes}; }

const std::vector<OpCase> cases = {
    {"one", {}, {{{1, 2}}, labels({1}, 2)}},
    {"one_class", {}, {{{3, 1}, DType::f32, Fill::normal, 1, false, false, {}, false}, labels({3}, 1)}, true},  // probability 1: both losses are 0
    {"two_classes", {}, {{{2, 5, 7, 2}}, labels({2, 5, 7}, 2)}},
    {"three_classes", {}, {{{1037, 3}, DType::f32, Fill::normal, 3}, labels({1037}, 3)}},
    {"fourteen_classes", {{"smooth", 0.5}}, {{{2, 131, 14}}, labels({2, 131}, 14)}},
    {"ignored", {}, {{{7, 3}}, {{7}, DType::u8, Fill::labels, 1, false, false, {0, 255, 2, 255, 255, 1, 2}}}},
    {"all_ignored", {}, {{{2, 3}}, {{2}, DType::u8, Fill::labels, 1, false, false, {255, 255}}}, true},  // cross-entropy is 0
    {"large_logits", {}, {{{19, 4}, DType::f32, Fill::normal, 1e4}, labels({19}, 4)}},
    {"many", {}, {{{20011, 2}}, labels({20011}, 2)}},
};

SFR_OP_TEST(segmentation_loss, segmentation_loss_reference, cases);

}  // namespace

}  // namespace sfr::test
