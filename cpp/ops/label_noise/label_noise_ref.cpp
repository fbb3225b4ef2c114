#include <algorithm>
#include <cmath>
#include <numeric>

#include "native/op_test.h"

namespace sfr::test {

namespace {

/// n values that sum to `total`, near `exact`: the integer parts, then one more for the largest remainders.
std::vector<int64_t> rounded(const std::vector<double>& exact, int64_t total) {
  std::vector<int64_t> whole, order(exact.size());
  for (const double x : exact) whole.push_back(static_cast<int64_t>(std::floor(x)));
  std::iota(order.begin(), order.end(), 0);
  const auto rest = [&](int64_t j) { return exact[size_t(j)] - double(whole[size_t(j)]); };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rest(a) > rest(b); });
  int64_t missing = total - std::accumulate(whole.begin(), whole.end(), int64_t{0});
  for (size_t i = 0; missing > 0; ++i, --missing) ++whole[size_t(order[i])];
  return whole;
}

/// By sorting the elements of each label.
template <class T>
void label_noise_reference(RefContext<T>& c) {
  const auto &labels = c.inputs[0], &q = c.inputs[1];
  const int64_t classes = q.type.shape.back();
  const auto at = [&](int64_t i, int64_t k) { return q[i * classes + k]; };
  std::vector<std::vector<int64_t>> of(static_cast<size_t>(classes));
  for (int64_t i = 0; i < labels.count(); ++i) of[static_cast<size_t>(labels[i])].push_back(i);
  std::vector<double> threshold;
  int64_t present = 0;
  for (int64_t k = 0; k < classes; ++k) {
    double sum = 0;
    for (const int64_t i : of[size_t(k)]) sum += double(at(i, k));
    threshold.push_back(of[size_t(k)].empty() ? 2 : sum / double(of[size_t(k)].size()));
    present += !of[size_t(k)].empty();
  }
  for (int64_t k = 0; k < classes; ++k) {
    std::vector<double> row(static_cast<size_t>(classes));
    for (const int64_t i : of[size_t(k)]) {
      int64_t best = -1;
      for (int64_t j = 0; j < classes; ++j)
        if (double(at(i, j)) >= threshold[size_t(j)] - 1e-6 && (best < 0 || at(i, j) > at(i, best))) best = j;
      if (best >= 0) ++row[size_t(best)];
    }
    row[size_t(k)] = std::max(row[size_t(k)], 1.0);
    const double total = std::accumulate(row.begin(), row.end(), 0.0), count = double(of[size_t(k)].size());
    for (double& x : row) x = x / total * count;
    const auto joint = rounded(row, int64_t(count));
    std::vector<T> own;
    for (const int64_t i : of[size_t(k)]) own.push_back(at(i, k));
    std::sort(own.begin(), own.end());
    const int64_t wrong = int64_t(count) - joint[size_t(k)];
    for (const int64_t i : of[size_t(k)]) {
      const bool low = wrong >= int64_t(count) || (wrong > 0 && at(i, k) < own[size_t(wrong)]);
      bool far = false, largest = true;
      for (int64_t j = 0; j < classes; ++j) {
        if (j == k) continue;
        std::vector<T> margins;
        for (const int64_t other : of[size_t(k)]) margins.push_back(at(other, j) - at(other, k));
        std::sort(margins.rbegin(), margins.rend());
        const int64_t taken = joint[size_t(j)];
        far |= taken > 0 && at(i, j) - at(i, k) >= margins[size_t(taken - 1)];
        largest &= j < k ? at(i, j) < at(i, k) : at(i, j) <= at(i, k);
      }
      c.outputs[0][i] = present < 2 || (low && far && !largest) ? T(1) : T(0);
    }
  }
}

InputSpec labels(const Shape& shape, double classes) {
  return {shape, DType::u8, Fill::labels, classes};
}

/// Need not sum to 1.
InputSpec probabilities(const Shape& shape) {
  return {shape, DType::f32, Fill::uniform};
}

const InputSpec single = {{5}, DType::u8, Fill::zeros};
const std::vector<OpCase> cases = {
    {"one_label", {}, {single, probabilities({5, 2})}},
    {"two", {}, {labels({3, 5, 7}, 2), probabilities({3, 5, 7, 2})}, true},
    {"five", {}, {labels({2, 131}, 5), probabilities({2, 131, 5})}, true},
    {"absent", {}, {labels({211}, 3), probabilities({211, 6})}, true},
};

SFR_OP_TEST(label_noise, label_noise_reference, cases);

}  // namespace

}  // namespace sfr::test
