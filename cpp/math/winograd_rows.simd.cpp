// 3D convolution with a kernel of 3 along y and x by Winograd's F(4x4, 3x3), forward and input gradient.
//
// A chunk walks along z over groups of tile rows: each plane is transformed once into a ring of kd planes and
// more ([point][channel block][tile][16]); then, per block of output channels and point, the register tiles
// of conv_tile.h multiply the tiles of kd planes with the transformed weights
// [block][point][kd][cin][NB*lanes], and the 36 sums of a tile are transformed back, where the bias is added.
// Products are a quarter of the direct ones, transforms cost about 4 cycles per vector and output; weights
// are read once per step, so a step holds as many tiles as it takes to hide that (`make_layout`).
#include "math/conv_tile.h"
#include "math/conv_winograd.h"
#include "math/winograd_tiles.h"

namespace sfr::SFR_LEVEL {

/// Tiles of a step: planes and sums stay in L2, but from kCachedWeights bytes on weights come from further
/// away at each step and need more products to hide behind.
constexpr int64_t kTilesPerStep = 14;
constexpr int64_t kTilesPerStream = 56;
constexpr int64_t kCachedWeights = 2 * 1024 * 1024;
constexpr int64_t kMaxChunks = 64;
constexpr int64_t kWantedChunks = 16;
/// Fewer tiles than this do not pay for transforming the weights.
constexpr int64_t kLeastTiles = 24;

struct Layout {
  const TileKind* kind;
  int64_t block, blocks;           // output channels per block: nb * lanes; blocks
  int64_t group, groups;           // blocks of output channels per chunk
  int64_t columns, tile_rows;      // tiles along x; tile rows of all samples
  int64_t rows_per_item, items;    // tile rows that advance along z together
  int64_t planes, steps_per_item;  // output planes per step
  int64_t steps, parts;            // pieces of the steps
  int64_t ring_planes;
  TileBlock input, output;
};

static Layout make_layout(const Conv3dShape& s) {
  Layout l{};
  l.columns = div_up(s.w, kTileEdge);
  const int64_t rows_per_sample = div_up(s.h, kTileEdge);
  l.tile_rows = s.n * rows_per_sample;
  const int64_t weight_bytes = kPoints * s.kd * s.cin * s.cout * 4;
  const int64_t want = weight_bytes <= kCachedWeights ? kTilesPerStep : kTilesPerStream;
  l.rows_per_item = smaller(l.tile_rows, larger(1, want / l.columns));
  l.items = div_up(l.tile_rows, l.rows_per_item);
  l.rows_per_item = div_up(l.tile_rows, l.items);
  const int64_t tiles = l.columns * l.rows_per_item;
  l.planes = larger(1, smaller(s.d, want / tiles));
  l.steps_per_item = div_up(s.d, l.planes);
  l.steps = l.items * l.steps_per_item;
  l.kind = &choose_tile(tiles, s.cout, kSpan);
  l.block = l.kind->nb * kLanes;
  l.blocks = div_up(s.cout, l.block);
  l.groups = smaller(l.blocks, larger(1, kWantedChunks / l.steps));
  l.group = div_up(l.blocks, l.groups);
  l.groups = div_up(l.blocks, l.group);
  l.parts = smaller(l.steps, kMaxChunks / l.groups);
  l.ring_planes = l.planes + s.kd - 1;
  l.input = make_tile_block(round_up(tiles, l.kind->r), s.cin, kSpan);
  l.output = make_tile_block(tiles, l.block, l.block);
  return l;
}

bool winograd_applies(const Conv3dShape& s) {
  if (s.kh != 3 || s.kw != 3 || s.cin % kSpan != 0 || s.cout % kSpan != 0 || s.kd > kMaxRows) return false;
  const int64_t tiles = div_up(s.h, kTileEdge) * div_up(s.w, kTileEdge);
  // Half of each tile must be used, else the direct algorithm is as fast.
  return s.n * s.d * tiles >= kLeastTiles && 2 * s.h * s.w >= kTileEdge * kTileEdge * tiles;
}

void winograd_rows_plan(const Conv3dShape& s, WinogradRowsPlan* plan) {
  const Layout l = make_layout(s);
  plan->pack_chunks = s.cin / kSpan * (s.cout / kSpan);
  plan->packed_bytes = static_cast<size_t>(l.blocks * kPoints * s.kd * s.cin * l.block) * sizeof(float);
  plan->chunks = l.parts * l.groups;
  const int64_t floats = round_up(l.block, 16) + l.ring_planes * l.input.floats + l.planes * l.output.floats;
  plan->scratch_bytes = static_cast<size_t>(round_up(floats, 16)) * sizeof(float);
}

/// The nine taps of kernel plane dz, input channels [c0, c0 + 16), output channels [first, first + 16) as
/// [tap][input][output].
static void gather_taps(const ConvRowsJob& job, int64_t dz, int64_t c0, int64_t first, float* taps) {
  const Conv3dShape& s = job.shape;
  for (int64_t t = 0; t < 9; ++t, taps += kSpan * kSpan) {
    const int64_t tap = dz * 9 + t;
    if (job.flipped) {
      const int64_t mirrored = s.kd * 9 - 1 - tap;
      transpose(taps, kSpan, job.weights + (mirrored * s.cout + first) * s.cin + c0, s.cin, kSpan, kSpan);
      continue;
    }
    const float* src = job.weights + (tap * s.cin + c0) * s.cout + first;
    for (int64_t c = 0; c < kSpan; ++c) {
      __builtin_memcpy(taps + c * kSpan, src + c * s.cout, kSpan * sizeof(float));
    }
  }
}

void winograd_pack_weights(const ConvRowsJob& job, int64_t chunk, float* packed) {
  const Conv3dShape& s = job.shape;
  const Layout l = make_layout(s);
  const int64_t spans = s.cin / kSpan, first = chunk / spans * kSpan, c0 = chunk % spans * kSpan;
  const int64_t point_floats = s.kd * s.cin * l.block;
  float taps[9 * kSpan * kSpan];
  for (int64_t dz = 0; dz < s.kd; ++dz) {
    gather_taps(job, dz, c0, first, taps);
    for (int64_t c = 0; c < kSpan; ++c) {
      for (int64_t lane = 0; lane < kSpan; lane += kLanes) {
        vf half[3][6];
        for (int kx = 0; kx < 3; ++kx) {
          vf g[3];
          for (int ky = 0; ky < 3; ++ky) g[ky] = load(taps + ((ky * 3 + kx) * kSpan + c) * kSpan + lane);
          weight_points(g, half[kx]);
        }
        const int64_t block = (first + lane) / l.block, in_block = (first + lane) % l.block;
        float* out = packed + block * kPoints * point_floats + (dz * s.cin + c0 + c) * l.block + in_block;
        for (int p = 0; p < 6; ++p) {
          const vf g[3] = {half[0][p], half[1][p], half[2][p]};
          vf u[6];
          weight_points(g, u);
          for (int q = 0; q < 6; ++q) store(out + (6 * p + q) * point_floats, u[q]);
        }
      }
    }
  }
}

/// What stays the same for a chunk.
struct Chunk {
  const ConvRowsJob& job;
  const Layout& layout;
  const float* packed;
  const float* zeros;  // [block]
  float* ring;         // [plane][TileBlock input]
  float* sums;         // [plane of step][TileBlock output]
};

SFR_INLINE float* ring_plane(const Chunk& chunk, int64_t z) {
  return chunk.ring + z % chunk.layout.ring_planes * chunk.layout.input.floats;
}

/// Transforms plane z of the item's tile rows into the ring.
static void load_plane(const Chunk& chunk, int64_t row0, int64_t row1, int64_t z) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  const int64_t rows_per_sample = div_up(s.h, kTileEdge);
  for (int64_t row = row0; row < row1; ++row) {
    const InputRow input{chunk.job.input, row / rows_per_sample * s.d + z, s.h, s.w,
                         s.cin,           row % rows_per_sample,           0,   s.cin};
    transform_input_row(input, l.input, (row - row0) * l.columns, ring_plane(chunk, z));
  }
}

/// Sums of all points of one block of output channels for planes [z0, z1).
static void multiply(const Chunk& chunk, int64_t block, int64_t tiles, int64_t z0, int64_t z1) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  const int64_t plane_weights = s.cin * l.block;
  TileJob job;
  job.kw = 1;
  job.channels = s.cin;
  job.block_floats = l.input.block_floats;
  job.bias = chunk.zeros;
  job.y_pitch = l.block;
  job.lanes_valid = static_cast<int>(l.block);
  for (int64_t p = 0; p < kPoints; ++p) {
    const float* weights = chunk.packed + (block * kPoints + p) * s.kd * plane_weights;
    for (int64_t z = z0; z < z1; ++z) {
      job.row_count = 0;
      for (int64_t dz = 0; dz < s.kd; ++dz) {
        const int64_t iz = z + dz - s.kd / 2;
        if (iz < 0 || iz >= s.d) continue;
        job.rows[job.row_count] = ring_plane(chunk, iz) + p * l.input.point_floats;
        job.weights[job.row_count++] = weights + dz * plane_weights;
      }
      float* out = chunk.sums + (z - z0) * l.output.floats + p * l.output.point_floats;
      for (int64_t t = 0; t < tiles; t += l.kind->r) {
        l.kind->run(job, t, out + t * l.block, static_cast<int>(smaller(l.kind->r, tiles - t)));
      }
    }
  }
}

/// Transforms one tile row's sums back and stores what lies inside the plane.
static void store_row(const Chunk& chunk, const float* sums, float* plane, int64_t tile_row, int64_t first) {
  const Conv3dShape& s = chunk.job.shape;
  const TileBlock& tiles = chunk.layout.output;
  const int64_t y0 = kTileEdge * tile_row, rows = smaller(kTileEdge, s.h - y0);
  const int64_t lanes = smaller(chunk.layout.block, s.cout - first);
  for (int64_t t = 0; t < chunk.layout.columns; ++t) {
    const int64_t x0 = kTileEdge * t, columns = smaller(kTileEdge, s.w - x0);
    for (int64_t o = 0; o < lanes; o += kLanes) {
      const float* m = sums + t * tiles.span + o;
      vf half[6][4];
      for (int p = 0; p < 6; ++p) {
        vf row[6];
        for (int q = 0; q < 6; ++q) row[q] = load(m + (6 * p + q) * tiles.point_floats);
        output_values(row, half[p]);
      }
      const vf bias = chunk.job.bias ? load(chunk.job.bias + first + o) : zero();
      float* out = plane + (y0 * s.w + x0) * s.cout + first + o;
      for (int64_t x = 0; x < columns; ++x) {
        vf column[6], y[4];
        for (int p = 0; p < 6; ++p) column[p] = half[p][x];
        output_values(column, y);
        for (int64_t r = 0; r < rows; ++r) {
          float* voxel = out + (r * s.w + x) * s.cout;
          chunk.job.stream ? stream(voxel, y[r] + bias) : store(voxel, y[r] + bias);
        }
      }
    }
  }
}

/// Output planes [z0, z1) of the tile rows [row0, row1), blocks [first_block, last_block).
static void run_step(const Chunk& chunk, int64_t row0, int64_t row1, int64_t z0, int64_t z1,
                     int64_t first_block, int64_t last_block) {
  const Conv3dShape& s = chunk.job.shape;
  const Layout& l = chunk.layout;
  const int64_t rows_per_sample = div_up(s.h, kTileEdge);
  for (int64_t block = first_block; block < last_block; ++block) {
    multiply(chunk, block, (row1 - row0) * l.columns, z0, z1);
    for (int64_t z = z0; z < z1; ++z) {
      const float* sums = chunk.sums + (z - z0) * l.output.floats;
      for (int64_t row = row0; row < row1; ++row, sums += l.columns * l.block) {
        float* plane = chunk.job.y + (row / rows_per_sample * s.d + z) * s.h * s.w * s.cout;
        store_row(chunk, sums, plane, row % rows_per_sample, block * l.block);
      }
    }
  }
}

void winograd_rows_chunk(const ConvRowsJob& job, const float* packed, int64_t index, float* scratch) {
  const Conv3dShape& s = job.shape;
  const Layout l = make_layout(s);
  const int64_t part = index / l.groups, first_block = index % l.groups * l.group;
  const int64_t last_block = smaller(l.blocks, first_block + l.group);
  float* ring = scratch + round_up(l.block, 16);
  const Chunk chunk{job, l, packed, scratch, ring, ring + l.ring_planes * l.input.floats};
  // The ring too: register tiles read the padding behind the last tile, and denormal rubbish there is slow.
  __builtin_memset(
      scratch, 0,
      static_cast<size_t>(round_up(l.block, 16) + l.ring_planes * l.input.floats) * sizeof(float));
  int64_t next = 0;  // first plane that the ring does not hold yet
  const int64_t begin = l.steps * part / l.parts, end = l.steps * (part + 1) / l.parts;
  for (int64_t step = begin; step < end; ++step) {
    const int64_t item = step / l.steps_per_item, z0 = step % l.steps_per_item * l.planes;
    const int64_t z1 = smaller(s.d, z0 + l.planes);
    const int64_t row0 = item * l.rows_per_item, row1 = smaller(l.tile_rows, row0 + l.rows_per_item);
    if (step == begin || z0 == 0) next = larger(0, z0 - s.kd / 2);
    for (; next <= smaller(s.d - 1, z1 - 1 + s.kd / 2); ++next) load_plane(chunk, row0, row1, next);
    run_step(chunk, row0, row1, z0, z1, first_block, last_block);
  }
  if (job.stream) stream_fence();
}

}  // namespace sfr::SFR_LEVEL
