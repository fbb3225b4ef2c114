#include "native/op_test.h"
#include "ops/lowest/lowest.h"

namespace sfr::test {

namespace {

/// An element is in when fewer than `count` come before it: lower ones, or equal ones that are earlier.
template <class T>
void lowest_reference(RefContext<T>& c) {
  const auto &x = c.inputs[0], &mask = c.inputs[1];
  const int64_t count = c.template as<LowestAttributes>().count;
  for (int64_t i = 0; i < x.count(); ++i) {
    int64_t before = 0;
    for (int64_t j = 0; j < x.count(); ++j)
      if (mask[j] != 0 && (x[j] < x[i] || (x[j] == x[i] && j < i))) ++before;
    c.outputs[0][i] = mask[i] != 0 && before < count ? T(1) : T(0);
  }
}

InputSpec mask(const Shape& shape) {
  return {shape, DType::f32, Fill::indices, 2};
}

const InputSpec tied = {{7}, DType::f32, Fill::normal, 1, false, false, {2, 1, 2, 3, 2, 2, 1}};
const std::vector<OpCase> cases = {
    {"one", {}, {{{1}}, {{1}, DType::f32, Fill::ones}}},
    {"ties", {{"count", 4.0}}, {tied, {{7}, DType::f32, Fill::ones}}},
    {"masked", {{"count", 32.0}}, {{{3, 5, 11}}, mask({3, 5, 11})}, true},
    {"fewer", {{"count", 100.0}}, {{{3, 5, 7}}, mask({3, 5, 7})}},
    {"many", {{"count", 50.0}}, {{{3001}}, mask({3001})}, true},
};

SFR_OP_TEST(lowest, lowest_reference, cases);

}  // namespace

}  // namespace sfr::test
