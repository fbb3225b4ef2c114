// Memory-bound. Statistics in two passes, the second around the mean of the first, in double, so that a mean
// far from 0 costs no digits; then one pass over the elements. Backward: one pass for both sums, one for dx.
#include "cuda/bf16.h"
#include "cuda/column_sums.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr::cuda {

SFR_DEVICE double inverse_deviation(const BatchNormArgs& args, int64_t channel) {
  return 1 / sqrt(static_cast<double>(args.variance[channel]) + args.epsilon);
}

SFR_DEVICE double scale_of(const BatchNormArgs& args, int64_t channel) {
  const double weight = args.weight != nullptr ? static_cast<double>(args.weight[channel]) : 1.0;
  return weight * inverse_deviation(args, channel);
}

/// Before relu. The backward pass asks the same question of the same bits.
SFR_DEVICE float normalised(const BatchNormArgs& args, float x, int64_t channel) {
  const float bias = args.bias != nullptr ? args.bias[channel] : 0.0f;
  return fmaf(x - args.mean[channel], args.scale[channel], bias);
}

SFR_KERNEL(batch_norm_sums, BatchNormArgs) {
  fill_column_sums<2>(args.sums, [&](int64_t row, int64_t channel, double* own) {
    own[0] += static_cast<double>(args.x[row * args.channels + channel]);
  });
}

SFR_KERNEL(batch_norm_center, BatchNormArgs) {
  over_elements(args.channels, [&](int64_t channel) {
    args.mean[channel] =
        static_cast<float>(column_sum(args.sums, 0, channel) / static_cast<double>(args.rows));
  });
}

SFR_KERNEL(batch_norm_moments, BatchNormArgs) {
  fill_column_sums<2>(args.sums, [&](int64_t row, int64_t channel, double* own) {
    const double d =
        static_cast<double>(args.x[row * args.channels + channel]) - static_cast<double>(args.mean[channel]);
    own[0] += d;
    own[1] += d * d;
  });
}

SFR_KERNEL(batch_norm_statistics, BatchNormArgs) {
  over_elements(args.channels, [&](int64_t channel) {
    if (args.training) {
      const double rows = static_cast<double>(args.rows), shift = column_sum(args.sums, 0, channel) / rows;
      args.variance[channel] = static_cast<float>(column_sum(args.sums, 1, channel) / rows - shift * shift);
      args.mean[channel] = static_cast<float>(static_cast<double>(args.mean[channel]) + shift);
    } else {
      args.mean[channel] = args.running_mean[channel];
      args.variance[channel] = args.running_variance[channel];
    }
    args.scale[channel] = static_cast<float>(scale_of(args, channel));
  });
}

SFR_KERNEL(batch_norm_rows, BatchNormArgs) {
  over_elements(args.rows * args.channels, [&](int64_t i) {
    const float v = normalised(args, args.x[i], i % args.channels);
    const float open = args.relu && v < 0 ? 0.0f : v;
    args.y[i] = args.skip.data != nullptr ? open + args.skip[i] : open;
  });
}

/// Rows mean, scale and bias of y.
SFR_KERNEL(batch_norm_table, BatchNormArgs) {
  over_elements(args.channels, [&](int64_t channel) {
    args.y[channel] = args.mean[channel];
    args.y[args.channels + channel] = static_cast<float>(scale_of(args, channel));
    args.y[2 * args.channels + channel] = args.bias[channel];
  });
}

SFR_KERNEL(batch_norm_scale, BatchNormArgs) {
  over_elements(args.channels,
                [&](int64_t channel) { args.scale[channel] = static_cast<float>(scale_of(args, channel)); });
}

/// dy where the unit was open.
SFR_DEVICE float open_gradient(const BatchNormArgs& args, int64_t i, int64_t channel) {
  return !args.relu || normalised(args, args.x[i], channel) > 0 ? args.dy[i] : 0.0f;
}

SFR_KERNEL(batch_norm_gradient_sums, BatchNormArgs) {
  fill_column_sums<2>(args.sums, [&](int64_t row, int64_t channel, double* own) {
    const int64_t i = row * args.channels + channel;
    const double g = static_cast<double>(open_gradient(args, i, channel));
    own[0] += g;
    own[1] += g * static_cast<double>(args.x[i] - args.mean[channel]);
  });
}

/// See finish_sums of normalise.cpp for the formula.
SFR_KERNEL(batch_norm_gradient_tables, BatchNormArgs) {
  over_elements(args.channels, [&](int64_t channel) {
    const double sum = column_sum(args.sums, 0, channel), product = column_sum(args.sums, 1, channel);
    const double inverse = inverse_deviation(args, channel), rows = static_cast<double>(args.rows);
    const double scale = scale_of(args, channel);
    const double dmean = args.dmean != nullptr ? static_cast<double>(args.dmean[channel]) : 0,
                 dvariance = args.dvariance != nullptr ? static_cast<double>(args.dvariance[channel]) : 0;
    if (args.dweight != nullptr) args.dweight[channel] = static_cast<float>(product * inverse);
    if (args.dbias != nullptr) args.dbias[channel] = static_cast<float>(sum);
    args.offset[channel] = args.training ? static_cast<float>((dmean - scale * sum) / rows) : 0.0f;
    args.slope[channel] =
        args.training ? static_cast<float>((2 * dvariance - scale * inverse * inverse * product) / rows)
                      : 0.0f;
  });
}

SFR_KERNEL(batch_norm_gradient_rows, BatchNormArgs) {
  over_elements(args.rows * args.channels, [&](int64_t i) {
    const int64_t channel = i % args.channels;
    const float centered = args.x[i] - args.mean[channel];
    args.y[i] = open_gradient(args, i, channel) * args.scale[channel] +
                (centered * args.slope[channel] + args.offset[channel]);
  });
}

SFR_KERNEL(batch_norm_update, BatchNormUpdateArgs) {
  if (args.fault->code != kNoFault) return;
  over_elements(args.channels, [&](int64_t channel) {
    float &mean = args.running_mean[channel], &variance = args.running_variance[channel];
    const double keep = 1 - args.momentum;
    mean = static_cast<float>(keep * mean + args.momentum * args.mean[channel]);
    variance = static_cast<float>(keep * variance + args.momentum * args.unbiased * args.variance[channel]);
  });
}

}  // namespace sfr::cuda
