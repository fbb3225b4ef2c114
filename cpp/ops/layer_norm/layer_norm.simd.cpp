#include "ops/layer_norm/layer_norm.h"

#include "math/simd.h"

namespace sfr::SFR_LEVEL {

namespace {

struct Moments {
  float first, correction, rstd;  // mean = first + correction
};

/// Mean of a row, then mean and variance of what is left after subtracting it: the first mean's rounding
/// error is recovered as `correction`.
SFR_INLINE Moments moments(const float* x, int64_t channels, float epsilon) {
  const int rest = static_cast<int>(channels % kLanes);
  const int64_t whole = channels - rest;
  const float inverse = 1.0f / static_cast<float>(channels);
  vf sum = zero();
  for (int64_t i = 0; i < whole; i += kLanes) sum += load(x + i);
  if (rest > 0) sum += load_partial(x + whole, rest);
  Moments m;
  m.first = horizontal_sum(sum) * inverse;
  vf left = zero(), squares = zero();
  for (int64_t i = 0; i < whole; i += kLanes) {
    const vf d = load(x + i) - m.first;
    left += d;
    squares += d * d;
  }
  float left_sum = horizontal_sum(left), square_sum = horizontal_sum(squares);
  for (int64_t i = whole; i < channels; ++i) {
    const float d = x[i] - m.first;
    left_sum += d;
    square_sum += d * d;
  }
  m.correction = left_sum * inverse;
  const float variance = square_sum * inverse - m.correction * m.correction;
  m.rstd = 1.0f / __builtin_sqrtf((variance > 0 ? variance : variance * 0.0f) + epsilon);  // NaN stays NaN
  return m;
}

}  // namespace

void layer_norm_rows(const float* x, const float* weight, const float* bias, float epsilon, int64_t rows,
                     int64_t channels, float* y, float* mean, float* rstd) {
  for (int64_t row = 0; row < rows; ++row, x += channels, y += channels) {
    const Moments m = moments(x, channels, epsilon);
    mean[row] = m.first + m.correction;
    rstd[row] = m.rstd;
    for (int64_t i = 0; i < channels; ++i)
      y[i] = ((x[i] - m.first) - m.correction) * m.rstd * weight[i] + bias[i];
  }
}

namespace {

/// dx = rstd (g - mean(g) - n mean(g n)) + dmean / C - drstd rstd^2 n / C with n = (x - mean) rstd, g = dy
/// weight.
SFR_INLINE void backward_row(const LayerNormRows& job, int64_t row) {
  const int64_t channels = job.channels;
  const float *x = job.x + row * channels, *dy = job.dy ? job.dy + row * channels : nullptr;
  float* dx = job.dx + row * channels;
  const float mean = job.mean[row], rstd = job.rstd[row], inverse = 1.0f / static_cast<float>(channels);
  float g_sum = 0, gn_sum = 0;
  if (dy) {
    vf g_sums = zero(), gn_sums = zero();
    int64_t i = 0;
    for (; i + kLanes <= channels; i += kLanes) {
      const vf g = load(dy + i) * load(job.weight + i);
      g_sums += g;
      gn_sums += g * (load(x + i) - mean);
    }
    g_sum = horizontal_sum(g_sums);
    gn_sum = horizontal_sum(gn_sums);
    for (; i < channels; ++i) {
      const float g = dy[i] * job.weight[i];
      g_sum += g;
      gn_sum += g * (x[i] - mean);
    }
  }
  float offset = -g_sum * inverse * rstd, slope = -gn_sum * rstd * inverse * rstd;  // of 1 and of n
  if (job.dmean) offset += job.dmean[row] * inverse;
  if (job.drstd) slope -= job.drstd[row] * rstd * rstd * inverse;
  slope *= rstd;
  if (dy) {
    for (int64_t i = 0; i < channels; ++i)
      dx[i] = rstd * (dy[i] * job.weight[i]) + offset + slope * (x[i] - mean);
  } else {
    for (int64_t i = 0; i < channels; ++i) dx[i] = offset + slope * (x[i] - mean);
  }
}

}  // namespace

void layer_norm_backward_rows(const LayerNormRows& job) {
  for (int64_t row = 0; row < job.rows; ++row) backward_row(job, row);
}

void layer_norm_parameter_sums(const LayerNormRows& job, double* sums, float* strip) {
  constexpr int64_t kStripRows = 64;
  const int64_t channels = job.channels;
  float *dweight = strip, *dbias = strip + channels;
  for (int64_t begin = 0; begin < job.rows; begin += kStripRows) {
    const int64_t end = begin + kStripRows < job.rows ? begin + kStripRows : job.rows;
    __builtin_memset(strip, 0, static_cast<size_t>(2 * channels) * sizeof(float));
    for (int64_t row = begin; row < end; ++row) {
      const float *x = job.x + row * channels, *dy = job.dy + row * channels;
      const float mean = job.mean[row], rstd = job.rstd[row];
      for (int64_t i = 0; i < channels; ++i) {
        dweight[i] += dy[i] * ((x[i] - mean) * rstd);
        dbias[i] += dy[i];
      }
    }
    for (int64_t i = 0; i < 2 * channels; ++i) sums[i] += static_cast<double>(strip[i]);
  }
}

}  // namespace sfr::SFR_LEVEL
