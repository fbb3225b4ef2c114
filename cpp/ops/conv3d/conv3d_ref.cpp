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

/// Input 0 after norm, skip and skip_norm, which begin at input `first`.
template <class T>
RefTensor<T> loaded(const RefContext<T>& c, size_t first) {
  if (!c.has(first)) return c.inputs[0];
  RefTensor<T> x = normalised(c.inputs[0], c.inputs[first]);
  if (!c.has(first + 1)) return x;
  const RefTensor<T>& given = c.inputs[first + 1];
  const RefTensor<T> skip = c.has(first + 2) ? normalised(given, c.inputs[first + 2]) : given;
  for (int64_t i = 0; i < x.count(); ++i) x[i] += skip[i];
  return x;
}

template <class T>
void conv3d_reference(RefContext<T>& c) {
  const RefTensor<T> x = loaded(c, kConv3dNorm);
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

enum class Norm { x, x_and_skip, x_and_skip_norm };

/// Appends the inputs that a norm brings; nothing is differentiated by then.
std::vector<InputSpec> with_norm(std::vector<InputSpec> specs, Norm norm) {
  const InputSpec table = {{3, specs[0].shape[4]}}, skip = {specs[0].shape};
  specs.push_back(table);
  if (norm != Norm::x) specs.push_back(skip);
  if (norm == Norm::x_and_skip_norm) specs.push_back(table);
  for (InputSpec& spec : specs) spec.differentiate = false;
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
    {"norm", {}, with_norm(inputs({2, 3, 7, 9, 16}, {3, 3, 3, 16, 48}, true), Norm::x)},
    {"norm_and_skip", {}, with_norm(inputs({1, 3, 5, 37, 32}, {3, 3, 3, 32, 16}, true), Norm::x_and_skip)},
    {"both_norms", {}, with_norm(inputs({1, 5, 8, 17, 48}, {3, 3, 3, 48, 64}, true), Norm::x_and_skip_norm)},
    {"kernel_1", {}, inputs({1, 3, 5, 7, 16}, {1, 1, 1, 16, 2}, true)},
    {"kernel_uneven", {}, inputs({1, 5, 4, 9, 2}, {1, 5, 3, 2, 4}, true)},
    {"bias_alone", {}, frozen_weight(inputs({1, 2, 3, 5, 2}, {3, 3, 3, 2, 4}, true))},
};

SFR_OP_TEST(conv3d, conv3d_reference, cases);

template <class T>
void weight_reference(RefContext<T>& c) {
  const RefTensor<T> x = loaded(c, kConv3dWeightNorm);
  const RefTensor<T>& dy = c.inputs[1];
  RefTensor<T>& dw = c.outputs[0];
  const int64_t in = dw.dim(3), out = dw.dim(4);
  for (int64_t i = 0; i < dw.count(); i += in * out) {
    const int64_t tap = i / (in * out), dz = tap / (dw.dim(1) * dw.dim(2)) - dw.dim(0) / 2,
                  ey = tap / dw.dim(2) % dw.dim(1) - dw.dim(1) / 2, ex = tap % dw.dim(2) - dw.dim(2) / 2;
    for (int64_t v = 0; v < dy.count() / out; ++v) {
      const int64_t col = v % x.dim(3) + ex, y = v / x.dim(3) % x.dim(2) + ey,
                    z = v / x.dim(3) / x.dim(2) % x.dim(1) + dz, n = v / x.dim(3) / x.dim(2) / x.dim(1);
      if (z < 0 || z >= x.dim(1) || y < 0 || y >= x.dim(2) || col < 0 || col >= x.dim(3)) continue;
      const int64_t from = ((n * x.dim(1) + z) * x.dim(2) + y) * x.dim(3) + col;
      for (int64_t a = 0; a < in; ++a)
        for (int64_t b = 0; b < out; ++b) dw[i + a * out + b] += x[from * in + a] * dy[v * out + b];
    }
  }
  for (int64_t i = 0; c.outputs.size() > 1 && i < dy.count(); ++i) c.outputs[1][i % out] += dy[i];
}

std::vector<InputSpec> weight_inputs(const Shape& x, int64_t outputs, Norm norm) {
  Shape dy = x;
  dy.set(4, outputs);
  return with_norm({{x}, {dy}}, norm);
}

const AttributeMap of_3 = {{"kernel", std::vector<double>{3, 3, 3}}, {"bias", true}},
                   of_1_3 = {{"kernel", std::vector<double>{1, 3, 3}}};

const std::vector<OpCase> weight_cases = {
    {"norm", of_3, weight_inputs({2, 3, 7, 9, 16}, 48, Norm::x)},
    {"norm_and_skip", of_1_3, weight_inputs({1, 2, 9, 23, 32}, 16, Norm::x_and_skip)},
    {"both_norms", of_3, weight_inputs({1, 5, 8, 17, 48}, 32, Norm::x_and_skip_norm)},
};

SFR_OP_TEST(conv3d_backward_weight, weight_reference, weight_cases);

}  // namespace

}  // namespace sfr::test
