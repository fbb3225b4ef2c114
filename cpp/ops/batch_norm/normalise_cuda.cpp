// Launches of the kernels of batch_norm.cu.
#include "cuda/column_grid.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr {

/// Tables first, the partial sums of two quantities behind them.
BatchNormArgs normalise_args(const BatchNormAttributes& attributes, int64_t rows, int64_t channels,
                             void* work) {
  BatchNormArgs args{};
  args.rows = rows, args.channels = channels;
  args.scale = static_cast<float*>(work);
  args.slope = args.scale + channels, args.offset = args.slope + channels;
  args.sums = column_sums_of(rows, channels, 2, args.offset + (channels + 1) / 2 * 2);
  args.epsilon = attributes.epsilon, args.training = attributes.training, args.relu = attributes.relu;
  return args;
}

size_t normalise_cuda_work_bytes(int64_t rows, int64_t channels) {
  return static_cast<size_t>(2 * channels + (channels + 1) / 2 * 2) * sizeof(float) +
         column_sums_bytes(column_sums_of(rows, channels, 2, nullptr));
}

void launch_statistics(const KernelContext& c, const BatchNormArgs& args) {
  const Grid sums = column_grid(args.sums);
  if (args.training) {
    launch(c, "batch_norm_sums", sums, args);
    launch(c, "batch_norm_center", element_grid(args.channels), args);
    launch(c, "batch_norm_moments", sums, args);
  }
  launch(c, "batch_norm_statistics", element_grid(args.channels), args);
}

void launch_normalise(const KernelContext& c, const BatchNormArgs& args) {
  launch_statistics(c, args);
  launch(c, "batch_norm_rows", element_grid(args.rows * args.channels), args);
}

void launch_normalise_backward(const KernelContext& c, const BatchNormArgs& args) {
  const Grid sums = column_grid(args.sums);
  launch(c, "batch_norm_scale", element_grid(args.channels), args);
  launch(c, "batch_norm_gradient_sums", sums, args);
  launch(c, "batch_norm_gradient_tables", element_grid(args.channels), args);
  launch(c, "batch_norm_gradient_rows", element_grid(args.rows * args.channels), args);
}

}  // namespace sfr
