#include "native/op_test.h"
#include "ops/matmul/matmul.h"

namespace sfr::test {

namespace {

template <class T>
void matmul_reference(RefContext<T>& c) {
  const auto& s = c.template as<MatmulAttributes>();
  const RefTensor<T>&a = c.inputs[0], &b = c.inputs[1];
  RefTensor<T>& y = c.outputs[0];
  const int64_t m = y.dim(1), n = y.dim(2), k = a.dim(s.transpose_a ? 1 : 2);
  for (int64_t batch = 0; batch < y.dim(0); ++batch)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += a[batch * m * k + (s.transpose_a ? l * m + i : i * k + l)] *
                 b[batch * k * n + (s.transpose_b ? j * k + l : l * n + j)];
        y[(batch * m + i) * n + j] = sum;
      }
}

const AttributeMap plain, left = {{"transposeA", true}}, right = {{"transposeB", true}},
                          both = {{"transposeA", true}, {"transposeB", true}};

const std::vector<OpCase> cases = {
    {"one", plain, {{{1, 1, 1}}, {{1, 1, 1}}}},
    {"plain", plain, {{{3, 7, 5}}, {{3, 5, 11}}}},
    {"left", left, {{{3, 5, 7}}, {{3, 5, 11}}}},
    {"right", right, {{{3, 7, 5}}, {{3, 11, 5}}}},
    {"both", both, {{{3, 5, 7}}, {{3, 11, 5}}}},
    {"heads", right, {{{17, 33, 8}}, {{17, 29, 8}}}},
    {"few_large", plain, {{{2, 127, 67}}, {{2, 67, 131}}}},
};

SFR_OP_TEST(matmul, matmul_reference, cases);

}  // namespace

}  // namespace sfr::test
