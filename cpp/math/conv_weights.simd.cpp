// 3D convolution, weight and bias gradient: dw[tap][ci][co] = sum over voxels of x[voxel + tap][ci] *
// dy[voxel][co].
//
// A tile holds CI input channels times NB registers of output channels (16 accumulators at v4) and runs over
// about 112 voxels (one long row or several short ones) of one tap: per voxel CI broadcasts, NB loads, CI*NB
// fused multiply-adds, so the FMA units limit. Accumulators then go to the chunk's partial buffer (1 access
// per 112 voxels), which also keeps f32 chains short. x rows come through the ring of conv_load.h, dy rows
// are copied as [block of output channels][voxel][NB*lanes]; both stay in L2. Chunks are pieces of the n*d*h
// rows (one partial result each, 8 MB in all at most) times groups of output and input channels.
#include "math/conv_rows.h"
#include "math/conv_weight_tile.h"

namespace sfr::SFR_LEVEL {

constexpr int64_t kPartialFloats = 2 * 1024 * 1024;
constexpr int64_t kMaxParts = 64;
constexpr int64_t kMaxChunks = 64;
constexpr int64_t kWantedChunks = 32;
constexpr int64_t kVoxelsPerPass = 112;
constexpr int64_t kMinPartVoxels =
    448;  // a part below this many voxels would be dominated by its partial buffer
/// Few input channels: the accumulators are KY x KX taps of one channel instead. x_rows[ky] are planar rows.
template <int KY, int KX>
static void thin_tile(const float* const* x_rows, const float* g, int64_t voxels, float* const* out,
                      int64_t tap_pitch, int lanes) {
  vf acc[KY][KX];
  const float* p[KY];
#pragma GCC unroll 4
  for (int ky = 0; ky < KY; ++ky) {
    p[ky] = x_rows[ky];
#pragma GCC unroll 4
    for (int kx = 0; kx < KX; ++kx) acc[ky][kx] = zero();
  }
  for (int64_t v = 0; v < voxels; ++v, g += kLanes) {
    const vf gv = load(g);
#pragma GCC unroll 4
    for (int ky = 0; ky < KY; ++ky) {
#pragma GCC unroll 4
      for (int kx = 0; kx < KX; ++kx) acc[ky][kx] += broadcast(p[ky][v + kx]) * gv;
    }
  }
#pragma GCC unroll 4
  for (int ky = 0; ky < KY; ++ky) {
#pragma GCC unroll 4
    for (int kx = 0; kx < KX; ++kx) {
      float* o = out[ky] + kx * tap_pitch;
      store_partial(o, load_partial(o, lanes) + acc[ky][kx], lanes);
    }
  }
}

struct Layout {
  const TileKind* kind;
  bool thin;
  int64_t block, blocks;             // output channels per block, blocks
  int64_t group, groups;             // blocks per chunk, groups of blocks
  int64_t channels, channel_groups;  // input channels per chunk, groups of them
  int64_t parts, rows_per_part, pass_rows;
  int64_t width;  // voxels of a ring row
  int64_t part_stride;
};

static Layout make_layout(const Conv3dShape& s) {
  Layout l{};
  l.thin = s.cin <= kFewChannels;
  l.kind = s.cout > kLanes && !l.thin ? &kWide : s.cin <= kNarrowFew.ci ? &kNarrowFew : &kNarrow;
  l.block = l.kind->nb * kLanes;
  l.blocks = div_up(s.cout, l.block);
  const int64_t weights = s.kd * s.kh * s.kw * s.cin * s.cout, rows = s.n * s.d * s.h;
  l.part_stride = round_up(weights + s.cout, 16);
  l.parts = larger(1, smaller(kMaxParts, kPartialFloats / l.part_stride));
  l.parts = smaller(l.parts, larger(1, rows * s.w / kMinPartVoxels));
  l.rows_per_part = div_up(rows, l.parts);
  l.parts = div_up(rows, l.rows_per_part);
  // Few parts: cut the output channels, then the input channels, until there is enough to share out.
  l.groups = smaller(l.blocks, larger(1, div_up(kWantedChunks, l.parts)));
  l.group = div_up(l.blocks, l.groups);
  l.groups = div_up(l.blocks, l.group);
  const int64_t spans = div_up(s.cin, kSpan);
  l.channel_groups = smaller(spans, larger(1, kMaxChunks / (l.parts * l.groups)));
  l.channels = l.thin ? s.cin : div_up(spans, l.channel_groups) * kSpan;
  l.channel_groups = div_up(s.cin, l.channels);
  l.pass_rows = smaller(smaller(s.h, kMaxPassRows), larger(1, div_up(kVoxelsPerPass, s.w)));
  l.width = s.w + s.kw - 1;
  return l;
}

static RowRing layout_ring(const Layout& l, const Conv3dShape& s, float* data) {
  return make_ring(data, l.pass_rows + s.kh - 1, l.width, s.kw / 2, smaller(l.channels, s.cin),
                   l.thin ? 1 : kSpan);
}

void conv_weights_plan(const Conv3dShape& shape, ConvWeightsPlan* plan) {
  const Layout l = make_layout(shape);
  const RowRing ring = layout_ring(l, shape, nullptr);
  const int64_t floats =
      ring_floats(ring, shape.kd) + ring.row_floats + l.group * l.pass_rows * shape.w * l.block;
  plan->chunks = l.parts * l.groups * l.channel_groups;
  plan->parts = l.parts;
  plan->part_stride = l.part_stride;
  plan->scratch_bytes = static_cast<size_t>(round_up(floats, 16)) * sizeof(float);
}

/// What stays the same for a chunk: input channels [c0, c0 + count), output channels [first, first +
/// outputs).
struct Chunk {
  const ConvWeightsJob& job;
  const Layout& layout;
  RowRing ring;
  const float* zero_row;
  float* dy;        // [block in group][row of pass][voxel][block]
  float* dweights;  // [taps, cin, cout] of this part
  float* dbias;     // [cout] of this part
  int64_t c0, count, first, outputs;
};

static void clear_results(const Chunk& chunk) {
  const Conv3dShape& s = chunk.job.shape;
  const size_t bytes = static_cast<size_t>(chunk.outputs) * sizeof(float);
  const int64_t taps = s.kd * s.kh * s.kw;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t c = chunk.c0; c < chunk.c0 + chunk.count; ++c) {
      __builtin_memset(chunk.dweights + (tap * s.cin + c) * s.cout + chunk.first, 0, bytes);
    }
  }
  if (chunk.c0 == 0) __builtin_memset(chunk.dbias + chunk.first, 0, bytes);
}

/// Copies dy rows [y, y + rows) of a plane into blocks and, for the first input channels, adds up the bias
/// gradient.
static void load_dy(const Chunk& chunk, int64_t plane, int64_t y, int64_t rows) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  const int64_t voxels = rows * s.w;
  const float* src = chunk.job.dy + (plane * s.h + y) * s.w * s.cout + chunk.first;
  float* bias = chunk.dbias + chunk.first;
  for (int64_t o = 0; o < chunk.outputs; o += kLanes) {
    const int lanes = static_cast<int>(smaller(kLanes, chunk.outputs - o));
    float* dst = chunk.dy + (o / l.block) * l.pass_rows * s.w * l.block + o % l.block;
    vf sum = zero();
    if (lanes == kLanes) {
      for (int64_t v = 0; v < voxels; ++v) {
        const vf g = load(src + v * s.cout + o);
        store(dst + v * l.block, g);
        sum += g;
      }
    } else {
      for (int64_t v = 0; v < voxels; ++v) {
        const vf g = load_partial(src + v * s.cout + o, lanes);
        store(dst + v * l.block, g);
        sum += g;
      }
    }
    if (chunk.c0 == 0) store_partial(bias + o, load_partial(bias + o, lanes) + sum, lanes);
  }
}

/// One tap row (dz, ky) for rows [y0, y0 + rows): all kx, blocks of input and output channels.
static void run_taps(const Chunk& chunk, int64_t dz, int64_t ky, int64_t y0, int64_t rows) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  PassRows pass;
  pass.voxels = s.w;
  for (int64_t block = 0; block * l.block < chunk.outputs; ++block) {
    const int64_t output = block * l.block;
    const int lanes = static_cast<int>(smaller(l.block, chunk.outputs - output));
    pass.count = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t iy = y0 + i + ky - s.kh / 2;
      if (iy < 0 || iy >= s.h) continue;
      pass.x[pass.count] = ring_row(chunk.ring, dz, iy);
      pass.dy[pass.count++] = chunk.dy + (block * l.pass_rows + i) * s.w * l.block;
    }
    if (pass.count == 0) continue;
    for (int64_t c = 0; c < chunk.count; c += l.kind->ci) {
      const int channels = static_cast<int>(smaller(l.kind->ci, chunk.count - c));
      const int64_t lane = (c / kSpan) * l.width * kSpan + c % kSpan;
      for (int64_t kx = 0; kx < s.kw; ++kx) {
        const int64_t tap = (dz * s.kh + ky) * s.kw + kx;
        float* out = chunk.dweights + (tap * s.cin + chunk.c0 + c) * s.cout + chunk.first + output;
        l.kind->run(pass, lane + kx * kSpan, out, s.cout, channels, lanes);
      }
    }
  }
}

/// The same for few input channels: kernel plane dz as a whole, 3x3 taps at once where the kernel is that.
static void run_thin_plane(const Chunk& chunk, int64_t dz, int64_t y0, int64_t rows) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  const bool square = s.kh == 3 && s.kw == 3;
  const int64_t tap_pitch = s.cin * s.cout;
  for (int64_t output = 0; output < chunk.outputs; output += l.block) {
    const int lanes = static_cast<int>(smaller(l.block, chunk.outputs - output));
    for (int64_t i = 0; i < rows; ++i) {
      const float* g = chunk.dy + (output / l.block * l.pass_rows + i) * s.w * l.block;
      for (int64_t c = 0; c < s.cin; ++c) {
        for (int64_t ky = 0; ky < s.kh; ky += square ? 3 : 1) {
          const float* x_rows[3];
          float* out[3];
          for (int64_t j = 0; j < (square ? 3 : 1); ++j) {
            const int64_t iy = y0 + i + ky + j - s.kh / 2;
            x_rows[j] = iy < 0 || iy >= s.h ? chunk.zero_row : ring_row(chunk.ring, dz, iy) + c * l.width;
            out[j] =
                chunk.dweights + (((dz * s.kh + ky + j) * s.kw) * s.cin + c) * s.cout + chunk.first + output;
          }
          if (square) {
            thin_tile<3, 3>(x_rows, g, s.w, out, tap_pitch, lanes);
            continue;
          }
          for (int64_t kx = 0; kx < s.kw; ++kx) {
            const float* shifted = x_rows[0] + kx;
            float* tap = out[0] + kx * tap_pitch;
            thin_tile<1, 1>(&shifted, g, s.w, &tap, tap_pitch, lanes);
          }
        }
      }
    }
  }
}

/// Rows [y0, y1) of one plane in passes of pass_rows rows.
static void run_plane(const Chunk& chunk, int64_t plane, int64_t y0, int64_t y1) {
  const Conv3dShape& s = chunk.job.shape;
  const int64_t z = plane % s.d;
  int64_t next = larger(0, y0 - s.kh / 2);
  for (int64_t y = y0; y < y1; y += chunk.layout.pass_rows) {
    const int64_t rows = smaller(chunk.layout.pass_rows, y1 - y);
    const int64_t last = smaller(s.h - 1, y + rows - 1 + s.kh / 2);
    load_dy(chunk, plane, y, rows);
    for (int64_t dz = 0; dz < s.kd; ++dz) {
      const int64_t iz = z + dz - s.kd / 2;
      if (iz < 0 || iz >= s.d) continue;
      for (int64_t iy = next; iy <= last; ++iy) {
        const float* src = chunk.job.input.x + ((plane - z + iz) * s.h + iy) * s.w * s.cin + chunk.c0;
        load_row(chunk.ring, ring_row(chunk.ring, dz, iy), src, s.w, s.cin, chunk.count);
      }
      if (chunk.layout.thin) {
        run_thin_plane(chunk, dz, y, rows);
        continue;
      }
      for (int64_t ky = 0; ky < s.kh; ++ky) run_taps(chunk, dz, ky, y, rows);
    }
    next = last + 1;
  }
}

void conv_weights_chunk(const ConvWeightsJob& job, int64_t chunk_index, float* scratch) {
  const Conv3dShape& s = job.shape;
  const Layout l = make_layout(s);
  const int64_t part = chunk_index / (l.groups * l.channel_groups),
                rest = chunk_index % (l.groups * l.channel_groups);
  const RowRing ring = layout_ring(l, s, scratch);
  const int64_t floats = ring_floats(ring, s.kd);
  __builtin_memset(scratch, 0, static_cast<size_t>(floats + ring.row_floats) * sizeof(float));
  const int64_t c0 = rest / l.groups * l.channels, first = rest % l.groups * l.group * l.block;
  const Chunk chunk{job,
                    l,
                    ring,
                    scratch + floats,
                    scratch + floats + ring.row_floats,
                    job.dweights + part * job.part_stride,
                    job.dbias + part * job.part_stride,
                    c0,
                    smaller(l.channels, s.cin - c0),
                    first,
                    smaller(l.group * l.block, s.cout - first)};
  clear_results(chunk);
  const int64_t row0 = part * l.rows_per_part, row1 = smaller(s.n * s.d * s.h, row0 + l.rows_per_part);
  for (int64_t row = row0; row < row1;) {
    const int64_t plane = row / s.h, y0 = row % s.h, y1 = smaller(s.h, y0 + row1 - row);
    run_plane(chunk, plane, y0, y1);
    row += y1 - y0;
  }
}

}  // namespace sfr::SFR_LEVEL
