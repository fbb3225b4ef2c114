// 3D convolution with a kernel of 3 along y and x, weight and bias gradient by Winograd's F(4x4, 3x3): with
// the transformed inputs V = B^T x B and output gradients D = A dy A^T of each tile, the gradient of the
// transformed weights is U[point][dz] = sum over tiles of V (x) D, and dw = G^T U G once at the end.
//
// A chunk walks along z over groups of tile rows with a ring of transformed planes as the forward pass does,
// but for a group of output channels only: then its U (36 kd cin x group floats) is what a step reads and
// writes, once for all tiles of the step, and the register tiles of conv_weight_tile.h run over at least
// kTilesPerStep tiles to hide that. Transforming x once per group costs 3 % of the products.
#include "math/conv_weight_tile.h"
#include "math/conv_winograd.h"
#include "math/winograd_tiles.h"

namespace sfr::SFR_LEVEL {

constexpr int64_t kTilesPerStep = 56;
/// Fewer tiles than this are not worth a partial result of their own: clearing, writing and adding it up.
constexpr int64_t kTilesPerPart = 640;
constexpr int64_t kPartialFloats = 4 * 1024 * 1024;
/// U of one chunk, floats; what a step reads and writes.
constexpr int64_t kChunkPoints = 512 * 1024;
constexpr int64_t kWantedChunks = 16;

struct Layout {
  const TileKind* kind;
  int64_t block;                     // output channels per block: nb * lanes
  int64_t group, groups;             // output channels per chunk, groups of them
  int64_t channels, channel_groups;  // input channels per chunk, groups of them
  int64_t columns, tile_rows;        // tiles along x; tile rows of all samples
  int64_t rows_per_item;             // tile rows that advance along z together
  int64_t planes, steps_per_item;    // planes per step
  int64_t steps, parts;              // one partial result for each part of the steps
  int64_t ring_planes;
  int64_t part_stride;
  TileBlock input, gradient;
};

/// Cuts the channels until U of a chunk is small enough and there are chunks to share out.
static void split_channels(const Conv3dShape& s, Layout& l) {
  const int64_t blocks = div_up(s.cout, l.block), spans = s.cin / kSpan;
  const int64_t points = kPoints * s.kd * s.cin * s.cout;
  l.groups = smaller(blocks, div_up(points, kChunkPoints));
  l.groups = larger(l.groups, smaller(blocks, kWantedChunks / (2 * l.parts)));
  l.group = div_up(blocks, l.groups) * l.block;
  l.groups = div_up(s.cout, l.group);
  l.channel_groups = smaller(spans, div_up(kWantedChunks, l.parts * l.groups));
  l.channels = div_up(spans, l.channel_groups) * kSpan;
  l.channel_groups = div_up(s.cin, l.channels);
}

static Layout make_layout(const Conv3dShape& s) {
  Layout l{};
  l.kind = s.cout > kLanes ? &kWide : &kNarrow;
  l.block = l.kind->nb * kLanes;
  l.part_stride = kPoints * s.kd * s.cin * s.cout + s.cout;
  l.columns = div_up(s.w, kTileEdge);
  l.tile_rows = s.n * div_up(s.h, kTileEdge);
  l.rows_per_item = smaller(l.tile_rows, larger(1, kTilesPerStep / l.columns));
  l.rows_per_item = div_up(l.tile_rows, div_up(l.tile_rows, l.rows_per_item));
  const int64_t tiles = l.columns * l.rows_per_item;
  l.planes = smaller(smaller(s.d, kMaxPassRows), larger(1, kTilesPerStep / tiles));
  l.steps_per_item = div_up(s.d, l.planes);
  l.steps = div_up(l.tile_rows, l.rows_per_item) * l.steps_per_item;
  const int64_t all_tiles = l.tile_rows * l.columns * s.d;
  l.parts = smaller(kWantedChunks, smaller(l.steps, all_tiles / kTilesPerPart));
  l.parts = larger(1, smaller(l.parts, kPartialFloats / l.part_stride));
  split_channels(s, l);
  l.ring_planes = l.planes + s.kd - 1;
  l.input = make_tile_block(tiles, l.channels, kSpan);
  l.gradient = make_tile_block(tiles, l.group, l.block);
  return l;
}

void winograd_weights_plan(const Conv3dShape& s, WinogradWeightsPlan* plan) {
  const Layout l = make_layout(s);
  plan->chunks = l.parts * l.groups * l.channel_groups;
  plan->parts = l.parts;
  plan->part_stride = l.part_stride;
  plan->reduce_chunks = s.kd * (s.cin / kSpan);
  const int64_t floats = l.ring_planes * l.input.floats + l.planes * l.gradient.floats;
  plan->scratch_bytes = static_cast<size_t>(round_up(floats, 16)) * sizeof(float);
}

/// What stays the same for a chunk: input channels [c0, c0 + channels), output channels [first, first +
/// outputs).
struct Chunk {
  const ConvWeightsJob& job;
  const Layout& layout;
  float* ring;       // [plane][TileBlock input]
  float* gradients;  // [plane of step][TileBlock gradient]
  float* points;     // U of this part: [kd][block of 16 input channels][36][16][cout]
  float* dbias;      // [cout] of this part
  int64_t c0, channels, first, outputs;
};

SFR_INLINE float* ring_plane(const Chunk& chunk, int64_t z) {
  return chunk.ring + z % chunk.layout.ring_planes * chunk.layout.input.floats;
}

/// Where U of a point stands for kernel plane dz and input channel c0 + c, c a multiple of a tile's channels.
SFR_INLINE float* point_row(const Chunk& chunk, int64_t dz, int64_t point, int64_t c) {
  const Conv3dShape& s = chunk.job.shape;
  const int64_t channel = chunk.c0 + c, block = dz * (s.cin / kSpan) + channel / kSpan;
  return chunk.points + ((block * kPoints + point) * kSpan + channel % kSpan) * s.cout + chunk.first;
}

static void clear_results(const Chunk& chunk) {
  const Conv3dShape& s = chunk.job.shape;
  const size_t bytes = static_cast<size_t>(chunk.outputs) * sizeof(float);
  for (int64_t dz = 0; dz < s.kd; ++dz) {
    for (int64_t c = 0; c < chunk.channels; c += kSpan) {
      float* row = point_row(chunk, dz, 0, c);
      for (int64_t i = 0; i < kPoints * kSpan; ++i) __builtin_memset(row + i * s.cout, 0, bytes);
    }
  }
  if (chunk.c0 == 0) __builtin_memset(chunk.dbias + chunk.first, 0, bytes);
}

/// A dy A^T of one tile row of a plane of dy; the first input channels add up the bias gradient on the way.
static void transform_gradient_row(const Chunk& chunk, const float* plane, int64_t tile_row, int64_t first,
                                   float* dst) {
  const Conv3dShape& s = chunk.job.shape;
  const TileBlock& block = chunk.layout.gradient;
  const int64_t y0 = kTileEdge * tile_row, rows = smaller(kTileEdge, s.h - y0);
  for (int64_t o = 0; o < chunk.outputs; o += kLanes) {
    const float* src = plane + y0 * s.w * s.cout + chunk.first + o;
    float* out = dst + o / block.span * block.block_floats + first * block.span + o % block.span;
    vf sum = zero();
    for (int64_t t = 0; t < chunk.layout.columns; ++t, out += block.span) {
      vf half[4][6];
      for (int64_t x = 0; x < kTileEdge; ++x) {
        const int64_t column = kTileEdge * t + x;
        vf g[4];
        for (int64_t r = 0; r < kTileEdge; ++r) {
          const bool inside = r < rows && column < s.w;
          const float* voxel = src + (r * s.w + column) * s.cout;
          g[r] = inside ? load(voxel) : zero();
          if (inside) __builtin_prefetch(voxel + s.h * s.w * s.cout, 0, 2);  // the next plane
        }
        sum += (g[0] + g[1]) + (g[2] + g[3]);
        gradient_points(g, half[x]);
      }
      for (int p = 0; p < 6; ++p) {
        const vf g[4] = {half[0][p], half[1][p], half[2][p], half[3][p]};
        vf v[6];
        gradient_points(g, v);
        for (int q = 0; q < 6; ++q) store(out + (6 * p + q) * block.point_floats, v[q]);
      }
    }
    float* bias = chunk.dbias + chunk.first + o;
    if (chunk.c0 == 0) store(bias, load(bias) + sum);
  }
}

/// Adds the products of output planes [z0, z1), `tiles` tiles each, to U.
static void multiply(const Chunk& chunk, int64_t tiles, int64_t z0, int64_t z1) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  PassRows pass;
  pass.voxels = tiles;
  for (int64_t p = 0; p < kPoints; ++p) {
    for (int64_t dz = 0; dz < s.kd; ++dz) {
      for (int64_t o = 0; o < chunk.outputs; o += l.block) {
        pass.count = 0;
        for (int64_t z = z0; z < z1; ++z) {
          const int64_t iz = z + dz - s.kd / 2;
          if (iz < 0 || iz >= s.d) continue;
          pass.x[pass.count] = ring_plane(chunk, iz) + p * l.input.point_floats;
          pass.dy[pass.count++] = chunk.gradients + (z - z0) * l.gradient.floats +
                                  p * l.gradient.point_floats + o / l.block * l.gradient.block_floats;
        }
        const int lanes = static_cast<int>(smaller(l.block, chunk.outputs - o));
        for (int64_t c = 0; pass.count > 0 && c < chunk.channels; c += l.kind->ci) {
          const int64_t lane = c / kSpan * l.input.block_floats + c % kSpan;
          l.kind->run(pass, lane, point_row(chunk, dz, p, c) + o, s.cout, l.kind->ci, lanes);
        }
      }
    }
  }
}

void winograd_weights_chunk(const ConvWeightsJob& job, int64_t index, float* scratch) {
  const Conv3dShape& s = job.shape;
  const Layout l = make_layout(s);
  const int64_t part = index / (l.groups * l.channel_groups), rest = index % (l.groups * l.channel_groups);
  const int64_t c0 = rest / l.groups * l.channels, first = rest % l.groups * l.group;
  const int64_t rows_per_sample = div_up(s.h, kTileEdge);
  const Chunk chunk{job,
                    l,
                    scratch,
                    scratch + l.ring_planes * l.input.floats,
                    job.dweights + part * l.part_stride,
                    job.dbias + part * l.part_stride,
                    c0,
                    smaller(l.channels, s.cin - c0),
                    first,
                    smaller(l.group, s.cout - first)};
  clear_results(chunk);
  int64_t next = 0;  // first plane that the ring does not hold yet
  const int64_t begin = l.steps * part / l.parts, end = l.steps * (part + 1) / l.parts;
  for (int64_t step = begin; step < end; ++step) {
    const int64_t item = step / l.steps_per_item, z0 = step % l.steps_per_item * l.planes;
    const int64_t z1 = smaller(s.d, z0 + l.planes);
    const int64_t row0 = item * l.rows_per_item, row1 = smaller(l.tile_rows, row0 + l.rows_per_item);
    if (step == begin || z0 == 0) next = larger(0, z0 - s.kd / 2);
    for (int64_t row = row0; row < row1; ++row) {
      const int64_t plane = row / rows_per_sample * s.d, tile_row = row % rows_per_sample;
      const int64_t tile = (row - row0) * l.columns;
      for (int64_t z = next; z <= smaller(s.d - 1, z1 - 1 + s.kd / 2); ++z) {
        const InputRow input{job.input, plane + z, s.h, s.w, s.cin, tile_row, c0, chunk.channels};
        transform_input_row(input, l.input, tile, ring_plane(chunk, z));
      }
      for (int64_t z = z0; z < z1; ++z) {
        transform_gradient_row(chunk, job.dy + (plane + z) * s.h * s.w * s.cout, tile_row, tile,
                               chunk.gradients + (z - z0) * l.gradient.floats);
      }
    }
    next = larger(next, smaller(s.d, z1 + s.kd / 2));
    multiply(chunk, (row1 - row0) * l.columns, z0, z1);
  }
}

/// Adds all parts to the first, `count` floats, in double and in order.
static void add_parts(float* partial, int64_t parts, int64_t stride, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    double sums[kLanes] = {};
    for (int64_t part = 0; part < parts; ++part) {
      const float* from = partial + part * stride + i;
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(from[lane]);
    }
    for (int lane = 0; lane < kLanes; ++lane) partial[i + lane] = static_cast<float>(sums[lane]);
  }
}

void winograd_reduce_weights(const Conv3dShape& s, float* partial, int64_t index, float* dweights) {
  const Layout l = make_layout(s);
  const int64_t dz = index / (s.cin / kSpan), c0 = index % (s.cin / kSpan) * kSpan;
  float* points = partial + index * kPoints * kSpan * s.cout;
  add_parts(points, l.parts, l.part_stride, kPoints * kSpan * s.cout);
  for (int64_t c = 0; c < kSpan; ++c) {
    for (int64_t o = 0; o < s.cout; o += kLanes) {
      vf half[6][3];
      for (int p = 0; p < 6; ++p) {
        vf u[6];
        for (int q = 0; q < 6; ++q) u[q] = load(points + ((6 * p + q) * kSpan + c) * s.cout + o);
        weight_values(u, half[p]);
      }
      for (int kx = 0; kx < 3; ++kx) {
        vf column[6], g[3];
        for (int p = 0; p < 6; ++p) column[p] = half[p][kx];
        weight_values(column, g);
        for (int64_t ky = 0; ky < 3; ++ky) {
          store(dweights + (((dz * 3 + ky) * 3 + kx) * s.cin + c0 + c) * s.cout + o, g[ky]);
        }
      }
    }
  }
}

}  // namespace sfr::SFR_LEVEL
