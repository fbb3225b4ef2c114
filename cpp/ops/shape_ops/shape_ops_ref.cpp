#include "graph/graph.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/shape_ops/shape_ops.h"

namespace sfr::test {

namespace {

template <class T>
void reshape_reference(RefContext<T>& c) {
  c.outputs[0].data = c.inputs[0].data;
}

/// Copies x to y, `before` positions further along `axis`; positions outside y are dropped.
template <class T>
void shift_into(const RefTensor<T>& x, RefTensor<T>& y, int axis, int64_t before) {
  const int64_t outer = x.type.shape.count(0, axis),
                inner = x.type.shape.count(axis + 1, x.type.shape.rank());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < x.dim(axis); ++i)
      for (int64_t k = 0; k < inner; ++k) {
        const int64_t to = i + before;
        if (to >= 0 && to < y.dim(axis))
          y[(o * y.dim(axis) + to) * inner + k] = x[(o * x.dim(axis) + i) * inner + k];
      }
}

template <class T>
void concat_reference(RefContext<T>& c) {
  const int axis = static_cast<int>(c.template as<ConcatAttributes>().axis);
  int64_t before = 0;
  for (const auto& x : c.inputs) {
    shift_into(x, c.outputs[0], axis, before);
    before += x.dim(axis);
  }
}

template <class T>
void slice_reference(RefContext<T>& c) {
  const auto& a = c.template as<SliceAttributes>();
  shift_into(c.inputs[0], c.outputs[0], static_cast<int>(a.axis), -a.begin);
}

template <class T>
void pad_reference(RefContext<T>& c) {
  const auto& a = c.template as<PadAttributes>();
  shift_into(c.inputs[0], c.outputs[0], static_cast<int>(a.axis), a.before);
}

InputSpec bytes(Shape shape) {
  return {shape, DType::u8, Fill::indices, 256};
}

const std::vector<double> to_6_35 = {6, 35}, to_scalar = {};
const std::vector<OpCase> reshape_cases = {{"scalar", {{"shape", to_scalar}}, {{{1, 1}}}},
                                           {"odd", {{"shape", to_6_35}}, {{{2, 3, 5, 7}}}},
                                           {"u8", {{"shape", to_6_35}}, {bytes({7, 30})}}};
const std::vector<OpCase> concat_cases = {
    {"one", {{"axis", 0.0}}, {{{1}}}},
    {"leading", {{"axis", 0.0}}, {{{2, 3, 5}}, {{1, 3, 5}}, {{4, 3, 5}}}},
    {"channels", {{"axis", 4.0}}, {{{2, 3, 4, 5, 16}}, {{2, 3, 4, 5, 3}}}},
    {"middle_u8", {{"axis", 1.0}}, {bytes({3, 5, 7}), bytes({3, 1, 7}), bytes({3, 13, 7})}},
    {"large", {{"axis", 1.0}}, {{{3, 5003}}, {{3, 20011}}}},
};
const std::vector<OpCase> slice_cases = {
    {"one", {{"axis", 0.0}, {"end", 1.0}}, {{{1}}}},
    {"leading", {{"axis", 0.0}, {"begin", 1.0}, {"end", 3.0}}, {{{5, 3, 7}}}},
    {"channels", {{"axis", 3.0}, {"begin", 2.0}, {"end", 7.0}}, {{{3, 5, 7, 11}}}},
    {"middle_u8", {{"axis", 1.0}, {"begin", 3.0}, {"end", 13.0}}, {bytes({3, 13, 7})}},
    {"large", {{"axis", 1.0}, {"begin", 7.0}, {"end", 20007.0}}, {{{3, 20011}}}},
};
const std::vector<OpCase> pad_cases = {
    {"one", {{"axis", 0.0}, {"after", 1.0}}, {{{1}}}},
    {"leading", {{"axis", 0.0}, {"before", 1.0}, {"after", 3.0}}, {{{5, 3, 7}}}},
    {"channels", {{"axis", 2.0}, {"before", 5.0}}, {{{3, 5, 7}}}},
    {"middle_u8", {{"axis", 1.0}, {"before", 1.0}, {"after", 2.0}}, {bytes({3, 13, 7})}},
    {"large", {{"axis", 1.0}, {"before", 11.0}, {"after", 13.0}}, {{{3, 20011}}}},
};

SFR_OP_TEST(reshape, reshape_reference, reshape_cases);
SFR_OP_TEST(concat, concat_reference, concat_cases);
SFR_OP_TEST(slice, slice_reference, slice_cases);
SFR_OP_TEST(pad, pad_reference, pad_cases);

SFR_TEST("shape_ops: refuse what does not fit") {
  Graph graph;
  const ValueId a = graph.add_input("a", {DType::f32, {2, 3}}),
                b = graph.add_input("b", {DType::f32, {2, 4}});
  const ValueId bytes = graph.add_input("c", {DType::u8, {2, 3}});
  expect_error(
      [&] {
        graph.add_node("reshape", {a}, {{"shape", std::vector<double>{7}}}, "");
      },
      "6 elements");
  expect_error([&] { graph.add_node("concat", {a, b}, {}, ""); }, "except along axis 0");
  expect_error([&] { graph.add_node("concat", {a, bytes}, {}, ""); }, "expected f32 for x1");
  expect_error([&] { graph.add_node("concat", {a, b}, {{"axis", 2.0}}, ""); }, "an axis of");
  expect_error(
      [&] {
        graph.add_node("slice", {a}, {{"axis", 1.0}, {"begin", 2.0}, {"end", 4.0}}, "");
      },
      "2, 4");
  expect_error([&] { graph.add_node("pad", {a}, {{"before", -1.0}}, ""); }, "numbers >= 0");
}

}  // namespace

}  // namespace sfr::test
