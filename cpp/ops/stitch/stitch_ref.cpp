#include "graph/graph.h"
#include "native/expect.h"
#include "native/op_test.h"
#include "ops/stitch/stitch.h"

namespace sfr::test {

namespace {

/// Calls body(index in the volumes, index in the canvases) for every element of a slice.
template <class F>
void each_pixel(const StitchGeometryAttributes& a, const Shape& volumes, F body) {
  const int64_t channels = volumes.rank() == 5 ? volumes[4] : 1, tiles = a.rows * a.cols;
  int64_t i = 0;
  for (int64_t n = 0; n < volumes[0]; ++n)
    for (int64_t z = 0; z < volumes[1]; ++z)
      for (int64_t y = 0; y < volumes[2]; ++y)
        for (int64_t x = 0; x < volumes[3]; ++x)
          for (int64_t k = 0; k < channels; ++k, ++i) {
            const int64_t tile = z + a.front_slices, canvas = n * a.canvases + tile / tiles;
            const int64_t row = a.origin_y + (tile % tiles) / a.cols * a.tile_height + y;
            const int64_t col = a.origin_x + tile % a.cols * a.tile_width + x;
            body(i, ((canvas * a.canvas + row) * a.canvas + col) * channels + k);
          }
}

template <class T>
void stitch_reference(RefContext<T>& c) {
  const auto& a = c.template as<StitchAttributes>();
  for (T& y : c.outputs[0].data) y = T(a.fill);
  each_pixel(a, c.inputs[0].type.shape, [&](int64_t i, int64_t at) { c.outputs[0][at] = c.inputs[0][i]; });
}

template <class T>
void unstitch_reference(RefContext<T>& c) {
  const auto& a = c.template as<StitchGeometryAttributes>();
  each_pixel(a, c.outputs[0].type.shape, [&](int64_t i, int64_t at) { c.outputs[0][i] = c.inputs[0][at]; });
}

AttributeMap layout(const std::vector<double>& numbers, AttributeMap more = {}) {
  const char* names[] = {"slices", "sliceHeight", "sliceWidth", "canvas",  "canvases", "rows",
                         "cols",   "tileHeight",  "tileWidth",  "originY", "originX",  "frontSlices"};
  for (size_t i = 0; i < numbers.size(); ++i) more[names[i]] = numbers[i];
  return more;
}

// One pixel; 48x48x16 on 256 (cropped by 2); 24x20x7 on 64 with a border and a second canvas; odd extents.
const std::vector<double> one = {1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0};
const std::vector<double> cropped = {16, 48, 48, 256, 1, 5, 5, 52, 52, 0, 0, 4};
const std::vector<double> two_canvases = {7, 20, 24, 64, 2, 3, 2, 21, 31, 1, 4, 0};
const std::vector<double> odd = {5, 11, 13, 37, 1, 3, 2, 12, 18, 1, 3, 1};

InputSpec bytes(Shape shape) {
  return {shape, DType::u8, Fill::indices, 250};
}

const std::vector<OpCase> stitch_cases = {
    {"one", layout(one), {{{1, 1, 1, 1}}}},
    {"two_canvases", layout(two_canvases), {{{2, 7, 20, 24}}}},
    {"two_canvases_labels", layout(two_canvases, {{"fill", 255.0}}), {bytes({2, 7, 20, 24})}},
    {"odd_channels", layout(odd), {{{1, 5, 11, 13, 3}}}},
    {"cropped", layout(cropped), {{{1, 16, 48, 48}}}},
};
const std::vector<OpCase> unstitch_cases = {
    {"one", layout(one), {{{1, 1, 1}}}},
    {"two_canvases", layout(two_canvases), {{{4, 64, 64}}}},
    {"two_canvases_labels", layout(two_canvases), {bytes({4, 64, 64})}},
    {"odd_channels", layout(odd), {{{1, 37, 37, 3}}}},
    {"cropped", layout(cropped), {{{1, 256, 256}}}},
};

SFR_OP_TEST(stitch, stitch_reference, stitch_cases);
SFR_OP_TEST(unstitch, unstitch_reference, unstitch_cases);

SFR_TEST("stitch: refuses a layout that leaves the canvas") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {1, 4, 8, 8}}),
                y = graph.add_input("y", {DType::f32, {3, 16, 16}});
  const auto refused = [&](const char* op, ValueId value, std::vector<double> numbers, const char* text) {
    expect_error([&] { graph.add_node(op, {value}, layout(numbers), ""); }, text);
  };
  refused("stitch", x, {4, 8, 8, 16, 1, 2, 2, 8, 8, 0, 1, 0}, "1..17");
  refused("stitch", x, {4, 8, 8, 16, 1, 2, 2, 8, 8, -1, 0, 0}, "-1..15");
  refused("stitch", x, {4, 8, 8, 16, 1, 2, 2, 8, 8, 0, 0, 1}, "1 + 4");
  refused("stitch", x, {4, 8, 8, 16, 1, 2, 2, 7, 8, 0, 0, 0}, "at least 8, 8");
  refused("stitch", x, {4, 8, 7, 16, 1, 2, 2, 8, 8, 0, 0, 0}, "[N, 4, 8, 7] or [.., K]");
  refused("stitch", x, {4, 8, 0, 16, 1, 2, 2, 8, 8, 0, 0, 0}, "numbers > 0");
  refused("unstitch", y, {8, 8, 8, 16, 2, 2, 2, 8, 8, 0, 0, 0}, "a multiple of 2 canvases");
  refused("unstitch", y, {4, 8, 8, 32, 1, 2, 2, 8, 8, 0, 0, 0}, "[N, 32, 32] or [.., K]");
}

}  // namespace

}  // namespace sfr::test
