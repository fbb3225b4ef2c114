// Convolutions as matrix products whose one side is gathered from the volume while it is loaded: voxels x
// (taps x channels) times (taps x channels) x output channels. No gathered matrix is ever stored.
#include "cuda/normalised_load.h"
#include "cuda/tiled_product.h"
#include "ops/conv3d/conv3d.h"

namespace sfr::cuda {

/// Element i of the input, which is of that channel.
SFR_DEVICE float loaded(const Conv3dArgs& args, int64_t i, int64_t channel) {
  const float x = args.x[i];
  if (args.norm == nullptr) return x;
  const float open = normalised_by(args.norm, args.in, channel, x);
  if (args.skip.data == nullptr) return open;
  const float skip = args.skip[i];
  return open + (args.skip_norm != nullptr ? normalised_by(args.skip_norm, args.in, channel, skip) : skip);
}

/// Row: a voxel; column: a tap and one of its channels. Zero outside of the volume.
struct Gathered {
  Conv3dArgs args;
  bool flipped;  // taps look the other way round: the input gradient

  struct Voxel {
    int64_t first;  // element of its channel 0
    int32_t z, y, x;
  };
  struct Tap {
    int64_t shift, channel;  // elements from the voxel's channel 0
    int32_t z, y, x;
  };

  SFR_DEVICE Voxel row(int64_t i) const {
    const int64_t line = i / args.w, slice = line / args.h;
    return {i * args.in, static_cast<int32_t>(slice % args.d), static_cast<int32_t>(line % args.h),
            static_cast<int32_t>(i % args.w)};
  }
  SFR_DEVICE Tap column(int64_t j) const {
    const int32_t tap = static_cast<int32_t>(j / args.in);
    int32_t z = tap / (args.kh * args.kw) - args.kd / 2, y = tap / args.kw % args.kh - args.kh / 2,
            x = tap % args.kw - args.kw / 2;
    if (flipped) z = -z, y = -y, x = -x;
    const int64_t channel = j % args.in;
    return {((z * args.h + y) * args.w + x) * args.in + channel, channel, z, y, x};
  }
  SFR_DEVICE float at(const Voxel& voxel, const Tap& tap) const {
    const int32_t z = voxel.z + tap.z, y = voxel.y + tap.y, x = voxel.x + tap.x;
    const bool inside = z >= 0 && z < args.d && y >= 0 && y < args.h && x >= 0 && x < args.w;
    return inside ? loaded(args, voxel.first + tap.shift, tap.channel) : 0.0f;
  }
};

/// The weight as the input gradient reads it: row (tap, output channel), column input channel.
struct TurnedWeight {
  const float* weight;  // [taps][channels][outputs]
  int64_t channels, outputs;
  SFR_DEVICE int64_t row(int64_t i) const { return i / outputs * channels * outputs + i % outputs; }
  SFR_DEVICE int64_t column(int64_t j) const { return j * outputs; }
  SFR_DEVICE float at(int64_t row, int64_t column) const { return weight[row + column]; }
};

SFR_DEVICE int64_t voxel_count(const Conv3dArgs& args) {
  return args.n * args.d * args.h * args.w;
}
SFR_DEVICE int64_t gathered_columns(const Conv3dArgs& args) {
  return static_cast<int64_t>(args.kd) * args.kh * args.kw * args.in;
}

SFR_KERNEL(conv3d_forward, Conv3dArgs) {
  const Gathered x{args, false};
  const Strided weight{{args.weight}, args.out, 1};
  tiled_product(voxel_count(args), args.out, {0, gathered_columns(args)}, x, weight,
                [&](int64_t i, int64_t j, float sum) {
                  args.y[i * args.out + j] = args.bias != nullptr ? sum + args.bias[j] : sum;
                });
}

SFR_KERNEL(conv3d_backward_input, Conv3dArgs) {
  const Gathered dy{args, true};
  const TurnedWeight weight{args.weight, args.out, args.in};
  tiled_product(voxel_count(args), args.out, {0, gathered_columns(args)}, dy, weight,
                [&](int64_t i, int64_t j, float sum) { args.y[i * args.out + j] = sum; });
}

SFR_KERNEL(conv3d_backward_weight, Conv3dArgs) {
  const int64_t voxels = voxel_count(args), rows = gathered_columns(args), part = blockIdx.z;
  const Transposed<Gathered> x{{args, false}};
  const Strided dy{args.dy, args.out, 1};
  const Results y = args.y + part * rows * args.out;
  tiled_product(rows, args.out, {voxels * part / args.parts, voxels * (part + 1) / args.parts}, x, dy,
                [&](int64_t i, int64_t j, float sum) { y[i * args.out + j] = sum; });
}

}  // namespace sfr::cuda
