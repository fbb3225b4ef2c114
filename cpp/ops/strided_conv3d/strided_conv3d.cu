// Matrix products whose one side is a volume, read or written block by block: no gathered matrix is stored.
#include "cuda/normalised_load.h"
#include "cuda/tiled_product.h"
#include "ops/strided_conv3d/strided_conv3d.h"

namespace sfr::cuda {

/// Row: a block of the volume; column: a voxel within it and one of its channels.
struct Blocks {
  BlockProductArgs args;

  struct Within {
    int64_t shift, channel;  // elements from the block's first voxel
  };

  SFR_DEVICE int64_t row(int64_t i) const {
    const int64_t x = i % args.w, line = i / args.w, y = line % args.h, slice = line / args.h;
    return ((slice * args.bd * args.h + y) * args.bh * args.w + x) * args.bw * args.channels;
  }
  SFR_DEVICE Within column(int64_t j) const {
    const int64_t channel = j % args.channels, voxel = j / args.channels;
    const int64_t x = voxel % args.bw, line = voxel / args.bw, y = line % args.bh, z = line / args.bh;
    return {((z * args.h * args.bh + y) * args.w * args.bw + x) * args.channels + channel, channel};
  }
  SFR_DEVICE float at(int64_t row, const Within& within) const {
    const float x = args.volume[row + within.shift];
    return args.norm != nullptr ? normalised_by(args.norm, args.channels, within.channel, x) : x;
  }
};

/// y [rows][columns] = blocks times weight, plus bias.
SFR_KERNEL(block_gather, BlockProductArgs) {
  const Blocks blocks{args};
  const Strided weight{{args.weight}, args.weight_row, args.weight_column};
  tiled_product(args.row_count, args.columns, {0, args.row_floats}, blocks, weight,
                [&](int64_t i, int64_t j, float sum) {
                  args.y[i * args.columns + j] = args.bias != nullptr ? sum + args.bias[j] : sum;
                });
}

/// Blocks of y = rows times weight, plus bias.
SFR_KERNEL(block_scatter, BlockProductArgs) {
  const Blocks blocks{args};
  const Strided rows{args.rows, args.columns, 1};
  const Strided weight{{args.weight}, args.weight_row, args.weight_column};
  tiled_product(
      args.row_count, args.row_floats, {0, args.columns}, rows, weight, [&](int64_t i, int64_t j, float sum) {
        const Blocks::Within within = blocks.column(j);
        args.y[blocks.row(i) + within.shift] = args.bias != nullptr ? sum + args.bias[within.channel] : sum;
      });
}

/// Part z of y [row_floats][columns] = blocks transposed, times rows.
SFR_KERNEL(block_weight, BlockProductArgs) {
  const int64_t part = blockIdx.z;
  const Transposed<Blocks> blocks{{args}};
  const Strided rows{args.rows, args.columns, 1};
  const Results y = args.y + part * args.row_floats * args.columns;
  tiled_product(
      args.row_floats, args.columns,
      {args.row_count * part / args.parts, args.row_count * (part + 1) / args.parts}, blocks, rows,
      [&](int64_t i, int64_t j, float sum) { y[i * args.weight_row + j * args.weight_column] = sum; });
}

}  // namespace sfr::cuda
