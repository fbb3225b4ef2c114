// Memory-bound: a warp per row, lanes beside each other on neighbouring channels.
#include "cuda/bf16.h"
#include "cuda/column_sums.h"
#include "ops/layer_norm/layer_norm.h"

namespace sfr::cuda {

constexpr int kWarp = 32;

/// Calls body(row, lane) for this warp's share of the rows: all lanes come by together.
template <class F>
SFR_DEVICE void over_rows(int64_t rows, F body) {
  const int64_t warps = blockDim.x / kWarp, step = gridDim.x * warps;
  for (int64_t row = blockIdx.x * warps + threadIdx.x / kWarp; row < rows; row += step)
    body(row, static_cast<int64_t>(threadIdx.x % kWarp));
}

/// Mean, then mean and variance of what is left after subtracting it: the first one's rounding error is
/// recovered.
SFR_KERNEL(layer_norm, LayerNormArgs) {
  over_rows(args.rows, [&](int64_t row, int64_t lane) {
    const Elements x = args.x + row * args.channels;
    const Results y = args.y + row * args.channels;
    const float inverse = 1.0f / static_cast<float>(args.channels);
    float sum = 0, left = 0, squares = 0;
    for (int64_t i = lane; i < args.channels; i += kWarp) sum += x[i];
    const float first = warp_sum(sum) * inverse;
    for (int64_t i = lane; i < args.channels; i += kWarp) {
      const float d = x[i] - first;
      left += d;
      squares += d * d;
    }
    const float correction = warp_sum(left) * inverse;
    const float variance = warp_sum(squares) * inverse - correction * correction;
    const float positive = variance > 0 ? variance : variance * 0.0f;  // NaN stays NaN
    const float rstd = 1.0f / sqrtf(positive + args.epsilon);
    for (int64_t i = lane; i < args.channels; i += kWarp)
      y[i] = ((x[i] - first) - correction) * rstd * args.weight[i] + args.bias[i];
    if (lane != 0) return;
    args.mean_out[row] = first + correction;
    args.rstd_out[row] = rstd;
  });
}

/// See backward_row of layer_norm.simd.cpp for the formula.
SFR_KERNEL(layer_norm_backward, LayerNormArgs) {
  over_rows(args.rows, [&](int64_t row, int64_t lane) {
    const Elements x = args.x + row * args.channels;
    const Elements dy = args.dy + row * args.channels;
    const Results dx = args.y + row * args.channels;
    const bool has_dy = args.dy.data != nullptr;
    const float mean = args.mean[row], rstd = args.rstd[row];
    const float inverse = 1.0f / static_cast<float>(args.channels);
    float g_sum = 0, gn_sum = 0;
    for (int64_t i = lane; has_dy && i < args.channels; i += kWarp) {
      const float g = dy[i] * args.weight[i];
      g_sum += g;
      gn_sum += g * (x[i] - mean);
    }
    float offset = -warp_sum(g_sum) * inverse * rstd, slope = -warp_sum(gn_sum) * rstd * inverse * rstd;
    if (args.dmean != nullptr) offset += args.dmean[row] * inverse;
    if (args.drstd != nullptr) slope -= args.drstd[row] * rstd * rstd * inverse;
    slope *= rstd;
    for (int64_t i = lane; i < args.channels; i += kWarp) {
      const float g = has_dy ? rstd * (dy[i] * args.weight[i]) : 0.0f;
      dx[i] = g + offset + slope * (x[i] - mean);
    }
  });
}

SFR_KERNEL(layer_norm_parameter_sums, LayerNormArgs) {
  fill_column_sums<2>(args.sums, [&](int64_t row, int64_t channel, double* own) {
    if (args.dy.data == nullptr) return;
    const int64_t i = row * args.channels + channel;
    own[0] += static_cast<double>(args.dy[i] * ((args.x[i] - args.mean[row]) * args.rstd[row]));
    own[1] += static_cast<double>(args.dy[i]);
  });
}

SFR_KERNEL(layer_norm_parameters, LayerNormArgs) {
  over_elements(args.channels, [&](int64_t channel) {
    args.dweight[channel] = static_cast<float>(column_sum(args.sums, 0, channel));
    args.dbias[channel] = static_cast<float>(column_sum(args.sums, 1, channel));
  });
}

}  // namespace sfr::cuda
