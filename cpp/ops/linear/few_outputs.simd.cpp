// Forward: kLanes rows are transposed in the first-level cache, so that a lane is a row and a weight one
// broadcast. Input gradient: a lane is a channel, a row two or three fused multiply-adds. Weight gradient: a
// register of channels times a broadcast of dy, four rows in flight, in f32 for at most kBlockRows rows.
#include "ops/linear/few_outputs.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

constexpr int64_t kBlockRows = 256;

void few_outputs_rows(const float* x, const float* weight, const float* bias, float* y, int64_t rows,
                      int64_t channels, int64_t outputs) {
  float turned[kMostChannels * kLanes], sums[kMostFewOutputs * kLanes];
  for (int64_t r = 0; r < rows; r += kLanes, x += kLanes * channels, y += kLanes * outputs) {
    const int64_t count = rows - r < kLanes ? rows - r : kLanes;
    transpose(turned, kLanes, x, channels, count, channels);
    for (int64_t o = 0; o < outputs; ++o) {
      vf sum = broadcast(bias ? bias[o] : 0.0f);
      for (int64_t c = 0; c < channels; ++c)
        sum += load(turned + c * kLanes) * broadcast(weight[c * outputs + o]);
      store(sums + o * kLanes, sum);
    }
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t o = 0; o < outputs; ++o) y[i * outputs + o] = sums[o * kLanes + i];
    }
  }
}

void few_outputs_input_rows(const float* dy, const float* weight, float* dx, int64_t rows, int64_t channels,
                            int64_t outputs, bool streamed) {
  float turned[kMostFewOutputs * kMostChannels];
  transpose(turned, kMostChannels, weight, outputs, channels, outputs);
  for (int64_t r = 0; r < rows; ++r, dy += outputs, dx += channels) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      vf sum = zero();
      for (int64_t o = 0; o < outputs; ++o) sum += broadcast(dy[o]) * load(turned + o * kMostChannels + c);
      if (streamed)
        stream(dx + c, sum);
      else if (channels - c >= kLanes)
        store(dx + c, sum);
      else
        store_partial(dx + c, sum, static_cast<int>(channels - c));
    }
  }
  if (streamed) stream_fence();
}

/// x^T dy of one register of channels and one output over a block of rows.
template <class Load>
SFR_INLINE vf block_product(const float* x, const float* dy, int64_t rows, int64_t channels, int64_t outputs,
                            Load get) {
  vf sums[4] = {zero(), zero(), zero(), zero()};
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    for (int i = 0; i < 4; ++i) sums[i] += get(x + (r + i) * channels) * broadcast(dy[(r + i) * outputs]);
  }
  for (; r < rows; ++r) sums[0] += get(x + r * channels) * broadcast(dy[r * outputs]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

SFR_INLINE float block_sum(const float* dy, int64_t rows, int64_t outputs) {
  float sum = 0;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, dy += 4 * outputs)
    sum += (dy[0] + dy[outputs]) + (dy[2 * outputs] + dy[3 * outputs]);
  for (; r < rows; ++r, dy += outputs) sum += dy[0];
  return sum;
}

void few_outputs_weight_rows(const float* x, const float* dy, int64_t rows, int64_t channels, int64_t outputs,
                             double* dweight, double* dbias) {
  for (int64_t r = 0; r < rows; r += kBlockRows, x += kBlockRows * channels, dy += kBlockRows * outputs) {
    const int64_t count = rows - r < kBlockRows ? rows - r : kBlockRows;
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int lanes = channels - c < kLanes ? static_cast<int>(channels - c) : kLanes;
        const vf sum = lanes == kLanes
                           ? block_product(x + c, dy + o, count, channels, outputs,
                                           [](const float* p) { return load(p); })
                           : block_product(x + c, dy + o, count, channels, outputs,
                                           [&](const float* p) { return load_partial(p, lanes); });
        for (int i = 0; i < lanes; ++i) dweight[(c + i) * outputs + o] += static_cast<double>(sum[i]);
      }
      dbias[o] += static_cast<double>(block_sum(dy + o, count, outputs));
    }
  }
}

}  // namespace sfr::SFR_LEVEL
