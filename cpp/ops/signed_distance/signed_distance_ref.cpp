#include <algorithm>
#include <cmath>

#include "core/labels.h"
#include "native/op_test.h"
#include "ops/signed_distance/signed_distance.h"

namespace sfr::test {

namespace {

/// Distance of voxel i of a sample to the nearest one that is (or is not) of the class, ignored ones apart; 0
/// when there is none.
template <class T>
T distance(const RefTensor<T>& labels, int64_t sample, int64_t i, T label, bool to_class) {
  const int64_t h = labels.dim(2), w = labels.dim(3), voxels = labels.dim(1) * h * w;
  int64_t nearest = -1;
  for (int64_t j = 0; j < voxels; ++j) {
    const T other = labels[sample * voxels + j];
    if (other == kIgnoredLabel || (other == label) != to_class) continue;
    const int64_t z = i / (h * w) - j / (h * w), y = i / w % h - j / w % h, x = i % w - j % w;
    const int64_t squared = z * z + y * y + x * x;
    nearest = nearest < 0 ? squared : std::min(nearest, squared);
  }
  return nearest < 0 ? T(0) : std::sqrt(T(nearest));
}

template <class T>
void signed_distance_reference(RefContext<T>& c) {
  const auto& labels = c.inputs[0];
  const int64_t maps = c.outputs[0].type.shape.back(), voxels = labels.count() / labels.dim(0);
  for (int64_t sample = 0; sample < labels.dim(0); ++sample)
    for (int64_t k = 0; k < maps; ++k) {
      std::vector<T> out, in;
      for (int64_t i = 0; i < voxels; ++i) {
        const bool counts = labels[sample * voxels + i] != kIgnoredLabel;
        out.push_back(counts ? distance(labels, sample, i, T(k + 1), true) : T(0));
        in.push_back(counts ? distance(labels, sample, i, T(k + 1), false) : T(0));
      }
      const T far = *std::max_element(out.begin(), out.end()), deep = *std::max_element(in.begin(), in.end());
      for (int64_t i = 0; i < voxels; ++i) {
        const auto at = static_cast<size_t>(i);
        T y = 0;
        if (far > 0 && deep > 0 && out[at] > 0) y = out[at] / far;
        if (far > 0 && deep > 0 && in[at] > 1) y = -in[at] / deep;
        c.outputs[0][(sample * voxels + i) * maps + k] = y;
      }
    }
}

/// A ball of class 2 in one of class 1 in class 0; the second sample has class 0 alone, the third class 1
/// alone.
std::vector<double> balls() {
  std::vector<double> labels;
  for (int sample = 0; sample < 3; ++sample)
    for (int i = 0; i < 9 * 11 * 13; ++i) {
      const int z = i / 143 - 4, y = i / 13 % 11 - 5, x = i % 13 - 4, r = z * z + y * y + x * x;
      labels.push_back(sample > 0 ? sample - 1 : r <= 4 ? 2 : r <= 20 ? 1 : 0);
    }
  return labels;
}

/// A row of 70 voxels with ignored ones between the classes, across the border of two words, and at its end.
std::vector<double> partly_ignored() {
  std::vector<double> labels;
  for (int x = 0; x < 70; ++x) labels.push_back(x < 20 ? 0 : x < 40 ? 1 : x < 66 ? 255 : x < 69 ? 0 : 255);
  return labels;
}

const std::vector<OpCase> cases = {
    {"two_voxels",
     {{"classes", 2.0}},
     {{{1, 1, 1, 2}, DType::u8, Fill::labels, 1, false, false, {1, 0}}},
     true},
    // Two of three samples are 0.
    {"balls",
     {{"classes", 3.0}},
     {{{3, 9, 11, 13}, DType::u8, Fill::labels, 1, false, false, balls()}},
     true},
    {"ignored",
     {{"classes", 2.0}},
     {{{1, 1, 1, 70}, DType::u8, Fill::labels, 1, false, false, partly_ignored()}},
     true},
    // In noise most voxels have a neighbour of another class.
    {"noise", {{"classes", 4.0}}, {{{2, 7, 5, 19}, DType::u8, Fill::labels, 4}}, true},
};

SFR_OP_TEST(signed_distance, signed_distance_reference, cases);

}  // namespace

}  // namespace sfr::test
