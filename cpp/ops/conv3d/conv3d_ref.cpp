#include "native/op_test.h"
#include "ops/conv3d/conv3d.h"

namespace sfr::test {

namespace {

/// Adds the products of one output voxel to its channels.
template <class T>
void add_taps(const RefTensor<T>& x, const RefTensor<T>& w, int64_t n, int64_t z, int64_t y, int64_t col,
              T* out) {
  const int64_t in = w.dim(3), channels = w.dim(4);
  for (int64_t tap = 0; tap < w.dim(0) * w.dim(1) * w.dim(2); ++tap) {
    const int64_t sz = z + tap / (w.dim(1) * w.dim(2)) - w.dim(0) / 2,
                  sy = y + tap / w.dim(2) % w.dim(1) - w.dim(1) / 2, sx = col + tap % w.dim(2) - w.dim(2) / 2;
    if (sz < 0 || sz >= x.dim(1) || sy < 0 || sy >= x.dim(2) || sx < 0 || sx >= x.dim(3)) continue;
    const int64_t from = (((n * x.dim(1) + sz) * x.dim(2) + sy) * x.dim(3) + sx) * in;
    for (int64_t i = 0; i < in; ++i)
      for (int64_t o = 0; o < channels; ++o) out[o] += x[from + i] * w[(tap * in + i) * channels + o];
  }
}

template <class T>
void conv3d_reference(RefContext<T>& c) {
  const RefTensor<T>& x = c.inputs[0];
  const int64_t channels = c.inputs[1].dim(4);
  T* out = c.outputs[0].data.data();
  for (int64_t n = 0; n < x.dim(0); ++n)
    for (int64_t z = 0; z < x.dim(1); ++z)
      for (int64_t y = 0; y < x.dim(2); ++y)
        for (int64_t col = 0; col < x.dim(3); ++col, out += channels) {
          for (int64_t o = 0; c.has(2) && o < channels; ++o) out[o] = c.inputs[2][o];
          add_taps(x, c.inputs[1], n, z, y, col, out);
        }
}

std::vector<InputSpec> inputs(const Shape& x, const Shape& weight, bool bias) {
  std::vector<InputSpec> specs = {{x}, {weight}};
  if (bias) specs.push_back({Shape{weight[4]}});
  return specs;
}

std::vector<InputSpec> frozen_weight(std::vector<InputSpec> specs) {
  specs[1].differentiate = false;
  return specs;
}

const std::vector<OpCase> cases = {
    {"one", {}, inputs({1, 1, 1, 1, 1}, {1, 1, 1, 1, 1}, true)},
    {"one_voxel", {}, inputs({1, 1, 1, 1, 3}, {3, 3, 3, 3, 5}, true)},
    {"odd", {}, inputs({2, 3, 5, 7, 3}, {3, 3, 3, 3, 13}, true)},
    {"first_layer", {}, inputs({1, 4, 5, 19, 1}, {3, 3, 3, 1, 8}, true)},
    {"channels_16", {}, inputs({1, 4, 6, 18, 16}, {3, 3, 3, 16, 16}, true)},
    {"channels_17_to_33", {}, inputs({1, 2, 3, 5, 17}, {3, 3, 3, 17, 33}, false)},
    // Winograd's algorithm from here on where kernel and channels allow it: edges within a tile, several tile
    // rows and planes per step, uneven blocks of output channels, a kernel that is flat along z.
    {"winograd_edges", {}, inputs({2, 3, 7, 9, 16}, {3, 3, 3, 16, 48}, true)},
    {"winograd_wide", {}, inputs({1, 3, 5, 37, 32}, {3, 3, 3, 32, 16}, true)},
    {"winograd_many_samples", {}, inputs({7, 5, 4, 7, 48}, {3, 3, 3, 48, 64}, false)},
    {"winograd_flat", {}, inputs({1, 1, 29, 23, 16}, {1, 3, 3, 16, 32}, true)},
    {"winograd_tall", {}, inputs({1, 11, 8, 8, 16}, {5, 3, 3, 16, 16}, true)},
    {"kernel_1", {}, inputs({1, 3, 5, 7, 16}, {1, 1, 1, 16, 2}, true)},
    {"kernel_uneven", {}, inputs({1, 5, 4, 9, 2}, {1, 5, 3, 2, 4}, true)},
    {"bias_alone", {}, frozen_weight(inputs({1, 2, 3, 5, 2}, {3, 3, 3, 2, 4}, true))},
};

SFR_OP_TEST(conv3d, conv3d_reference, cases);

}  // namespace

}  // namespace sfr::test
