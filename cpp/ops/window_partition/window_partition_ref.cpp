#include "native/expect.h"
#include "native/op_test.h"
#include "ops/window_partition/window_partition.h"

namespace sfr::test {

namespace {

/// Calls body(image index, windows index) for every element of the image [N, H, W, C].
template <class F>
void for_image(const Shape& image, int64_t window, F body) {
  const int64_t rows = (image[1] + window - 1) / window, columns = (image[2] + window - 1) / window;
  for (int64_t n = 0, i = 0; n < image[0]; ++n)
    for (int64_t y = 0; y < image[1]; ++y)
      for (int64_t x = 0; x < image[2]; ++x)
        for (int64_t c = 0; c < image[3]; ++c, ++i) {
          const int64_t tile = (n * rows + y / window) * columns + x / window;
          body(i, ((tile * window + y % window) * window + x % window) * image[3] + c);
        }
}

template <class T>
void window_partition_reference(RefContext<T>& c) {
  for_image(c.inputs[0].type.shape, c.template as<WindowPartitionAttributes>().window,
            [&](int64_t image, int64_t windows) { c.outputs[0][windows] = c.inputs[0][image]; });
}

template <class T>
void window_merge_reference(RefContext<T>& c) {
  for_image(c.outputs[0].type.shape, c.template as<WindowMergeAttributes>().window,
            [&](int64_t image, int64_t windows) { c.outputs[0][image] = c.inputs[0][windows]; });
}

const std::vector<double> size_1_1 = {1, 1}, size_5_7 = {5, 7}, size_8_8 = {8, 8};
const std::vector<OpCase> partition_cases = {
    {"one", {{"window", 1.0}}, {{{1, 1, 1, 1}}}},
    {"exact", {{"window", 4.0}}, {{{2, 8, 4, 3}}}},
    {"padded", {{"window", 3.0}}, {{{2, 5, 7, 5}}}},
    {"window_larger_than_image", {{"window", 7.0}}, {{{1, 5, 2, 4}}}},
    {"sam", {{"window", 14.0}}, {{{1, 16, 16, 24}}}},
};
const std::vector<OpCase> merge_cases = {
    {"one", {{"window", 1.0}, {"size", size_1_1}}, {{{1, 1, 1}}}},
    {"exact", {{"window", 4.0}, {"size", size_8_8}}, {{{8, 16, 3}}}},
    {"padded", {{"window", 3.0}, {"size", size_5_7}}, {{{12, 9, 5}}}},
};

SFR_OP_TEST(window_partition, window_partition_reference, partition_cases);
SFR_OP_TEST(window_merge, window_merge_reference, merge_cases);

SFR_TEST("window_partition/writes_zeros_over_old_memory") {
  Tensor x({DType::f32, {1, 2, 3, 1}}), y({DType::f32, {2, 4, 1}});
  for (int i = 0; i < 6; ++i) x.view().as<float>()[i] = 1;
  for (int i = 0; i < 8; ++i) y.view().as<float>()[i] = 7;  // what an earlier node left behind
  const WindowPartitionAttributes attributes{2};
  ThreadPool pool(1);
  KernelContext context;
  context.inputs = {x.view()};
  context.outputs = {y.view()};
  context.attributes = &attributes;
  context.pool = &pool;
  OpRegistry::instance().get("window_partition").cpu[0].run(context);
  const std::vector<float> expected = {1, 1, 1, 1, 1, 0, 1, 0};
  for (size_t i = 0; i < 8; ++i) expect(y.view().as<float>()[i] == expected[i], "padding is not zero");
}

}  // namespace

}  // namespace sfr::test
