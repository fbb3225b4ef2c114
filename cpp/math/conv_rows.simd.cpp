// 3D convolution, forward and input gradient: R voxels along x times NB registers of output channels per
// tile.
//
// Per tile and (tap, input channel): NB loads of weights, R broadcasts of inputs, R*NB fused multiply-adds
// into R*NB accumulators (28 of 32 registers at v4, 14 of 16 at v3, 12 of 16 without FMA). Products
// 2*R*NB*lanes per 4*(R + NB*lanes) bytes from L1/L2: bound by the FMA units from R*NB = 8 on. Weights are
// packed per chunk as [block of output channels][tap][input channel][NB*lanes] and stay in L2: input channels
// are cut into blocks when they would not fit (then y is read and written once per block), output channels
// into groups, one per chunk. Rows of x come through the ring of conv_load.h. Every output is one chain of
// adds in tap-channel order, whatever the tile, so chunking and thread count cannot change a bit.
#include "math/conv_rows.h"

#include "math/conv_tile.h"

namespace sfr::SFR_LEVEL {

/// Bytes of packed weights that a chunk keeps in L2 beside its rows, and of one block of output channels.
constexpr int64_t kGroupBytes = 448 * 1024;
constexpr int64_t kBlockBytes = 448 * 1024;
/// A chunk must use its packed weights for at least this many voxels, or packing shows (about 3 %).
constexpr int64_t kVoxelsPerPacking = 448;
constexpr int64_t kMaxChunks = 64;
constexpr int64_t kWantedChunks = 16;
struct Layout {
  const TileKind* kind;
  int64_t block;          // output channels per block: nb * lanes
  int64_t blocks;         // blocks of output channels
  int64_t channel_block;  // input channels per pass
  int64_t group;          // blocks of output channels per chunk
  int64_t groups;
  int64_t parts;  // pieces of the n*d*h rows
  int64_t rows_per_part;
  int64_t weight_floats;  // packed weights of one block and pass
  int64_t width;          // voxels of a ring row
};

static Layout make_layout(const Conv3dShape& s) {
  Layout l{};
  const int64_t span = s.cin <= kFewChannels ? 1 : kSpan;
  l.kind = &choose_tile(s.w, s.cout, span);
  l.block = l.kind->nb * kLanes;
  l.blocks = div_up(s.cout, l.block);
  const int64_t taps = s.kd * s.kh * s.kw, channel_bytes = taps * l.block * 4;
  l.channel_block = s.cin;
  if (s.cin * channel_bytes > kBlockBytes) {
    const int64_t passes = div_up(s.cin * channel_bytes, kBlockBytes);
    l.channel_block = smaller(s.cin, round_up(div_up(s.cin, passes), kSpan));
  }
  l.weight_floats = taps * l.channel_block * l.block;
  l.group = l.channel_block < s.cin ? 1 : larger(1, smaller(l.blocks, kGroupBytes / (l.weight_floats * 4)));
  l.groups = div_up(l.blocks, l.group);
  const int64_t rows = s.n * s.d * s.h;
  int64_t parts = larger(1, kMaxChunks / l.groups);
  parts = smaller(parts, larger(div_up(kWantedChunks, l.groups), rows * s.w / kVoxelsPerPacking));
  parts = smaller(parts, rows);
  l.rows_per_part = div_up(rows, parts);
  l.parts = div_up(rows, l.rows_per_part);
  l.width = round_up(s.w, l.kind->r) + s.kw - 1;
  return l;
}

static RowRing layout_ring(const Layout& l, const Conv3dShape& s, float* data) {
  return make_ring(data, s.kh, l.width, s.kw / 2, l.channel_block, l.kind->span);
}

void conv_rows_plan(const Conv3dShape& shape, ConvRowsPlan* plan) {
  const Layout l = make_layout(shape);
  const int64_t floats = round_up(l.group * l.weight_floats, 16) + round_up(l.group * l.block, 16) +
                         ring_floats(layout_ring(l, shape, nullptr), shape.kd);
  plan->chunks = l.groups * l.parts;
  plan->scratch_bytes = static_cast<size_t>(round_up(floats, 16)) * sizeof(float);
}

/// Packs input channels [c0, c0 + count) of one block of output channels as [tap][channel][block], zero
/// padded.
static void pack_weights(const ConvRowsJob& job, const Layout& l, int64_t first, int64_t c0, int64_t count,
                         float* dst) {
  const Conv3dShape& s = job.shape;
  const int64_t taps = s.kd * s.kh * s.kw, outputs = smaller(l.block, s.cout - first);
  if (outputs < l.block)
    __builtin_memset(dst, 0, static_cast<size_t>(taps * count * l.block) * sizeof(float));
  for (int64_t tap = 0; tap < taps; ++tap) {
    if (job.flipped) {
      transpose(dst, l.block, job.weights + ((taps - 1 - tap) * s.cout + first) * s.cin + c0, s.cin, outputs,
                count);
      dst += count * l.block;
      continue;
    }
    const float* src = job.weights + (tap * s.cin + c0) * s.cout + first;
    for (int64_t c = 0; c < count; ++c, src += s.cout, dst += l.block) {
      __builtin_memcpy(dst, src, static_cast<size_t>(outputs) * sizeof(float));
    }
  }
}

/// Everything that stays the same for one pass (block of input channels) of a chunk.
struct Pass {
  const ConvRowsJob& job;
  const Layout& layout;
  RowRing ring;
  const float* weights;  // [group][tap][count][block]
  const float* bias;     // [group * block], null after the first pass
  int64_t c0, count;     // input channels
  int64_t first_block, last_block;
};

/// All tiles of output row (plane, y), plane = sample * d + z.
static void run_row(const Pass& pass, int64_t plane, int64_t y) {
  const Conv3dShape& s = pass.job.shape;
  const Layout& l = pass.layout;
  const int64_t z = plane % s.d, row_weights = s.kw * pass.count * l.block;
  TileJob tiles;
  tiles.kw = s.kw;
  tiles.channels = pass.count;
  tiles.block_floats = pass.ring.width * pass.ring.span;
  tiles.y_pitch = s.cout;
  for (int64_t block = pass.first_block; block < pass.last_block; ++block) {
    const int64_t index = block - pass.first_block;
    const float* weights = pass.weights + index * s.kd * s.kh * row_weights;
    const float* bias = pass.bias ? pass.bias + index * l.block : nullptr;
    tiles.lanes_valid = static_cast<int>(smaller(l.block, s.cout - block * l.block));
    float* out = pass.job.y + (plane * s.h + y) * s.w * s.cout + block * l.block;
    tiles.row_count = 0;
    for (int64_t t = 0; t < s.kd * s.kh; ++t) {
      const int64_t dz = t / s.kh, iz = z + dz - s.kd / 2, iy = y + t % s.kh - s.kh / 2;
      if (iz >= 0 && iz < s.d && iy >= 0 && iy < s.h) {
        tiles.rows[tiles.row_count] = ring_row(pass.ring, dz, iy);
        tiles.weights[tiles.row_count++] = weights + t * row_weights;
      }
      if (tiles.row_count == kMaxRows || (t == s.kd * s.kh - 1 && tiles.row_count > 0)) {
        tiles.bias = bias;
        for (int64_t x = 0; x < s.w; x += l.kind->r) {
          l.kind->run(tiles, x, out + x * s.cout, static_cast<int>(smaller(l.kind->r, s.w - x)));
        }
        tiles.row_count = 0;
        bias = nullptr;
      }
    }
  }
}

/// Output rows [y0, y1) of one plane; the ring is filled as the rows advance.
static void run_plane(const Pass& pass, int64_t plane, int64_t y0, int64_t y1) {
  const Conv3dShape& s = pass.job.shape;
  const int64_t z = plane % s.d;
  int64_t next = larger(0, y0 - s.kh / 2);
  for (int64_t y = y0; y < y1; ++y) {
    for (; next <= smaller(s.h - 1, y + s.kh / 2); ++next) {
      for (int64_t dz = 0; dz < s.kd; ++dz) {
        const int64_t iz = z + dz - s.kd / 2;
        if (iz < 0 || iz >= s.d) continue;
        const float* src = pass.job.input.x + ((plane - z + iz) * s.h + next) * s.w * s.cin + pass.c0;
        load_row(pass.ring, ring_row(pass.ring, dz, next), src, s.w, s.cin, pass.count);
      }
    }
    run_row(pass, plane, y);
  }
}

void conv_rows_chunk(const ConvRowsJob& job, int64_t chunk, float* scratch) {
  const Conv3dShape& s = job.shape;
  const Layout l = make_layout(s);
  const int64_t group = chunk % l.groups, part = chunk / l.groups;
  const int64_t first_block = group * l.group, last_block = smaller(l.blocks, first_block + l.group);
  float* weights = scratch;
  float* bias = weights + round_up(l.group * l.weight_floats, 16);
  const RowRing ring = layout_ring(l, s, bias + round_up(l.group * l.block, 16));
  __builtin_memset(bias, 0, static_cast<size_t>(l.group * l.block) * sizeof(float));
  if (job.bias) {
    const int64_t first = first_block * l.block, count = smaller(l.group * l.block, s.cout - first);
    __builtin_memcpy(bias, job.bias + first, static_cast<size_t>(count) * sizeof(float));
  }
  __builtin_memset(ring.data, 0, static_cast<size_t>(ring_floats(ring, s.kd)) * sizeof(float));
  const int64_t row0 = part * l.rows_per_part, row1 = smaller(s.n * s.d * s.h, row0 + l.rows_per_part);
  for (int64_t c0 = 0; c0 < s.cin; c0 += l.channel_block) {
    const int64_t count = smaller(l.channel_block, s.cin - c0);
    const int64_t packed = s.kd * s.kh * s.kw * count * l.block;
    for (int64_t b = first_block; b < last_block; ++b) {
      pack_weights(job, l, b * l.block, c0, count, weights + (b - first_block) * packed);
    }
    const Pass pass{job, l, ring, weights, c0 == 0 ? bias : nullptr, c0, count, first_block, last_block};
    for (int64_t row = row0; row < row1;) {
      const int64_t plane = row / s.h, y0 = row % s.h, y1 = smaller(s.h, y0 + row1 - row);
      run_plane(pass, plane, y0, y1);
      row += y1 - y0;
    }
  }
}

}  // namespace sfr::SFR_LEVEL
