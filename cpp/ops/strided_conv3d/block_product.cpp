#include "ops/strided_conv3d/block_product.h"

#include <algorithm>

#include "core/chunks.h"
#include "math/gemm.h"
#include "ops/elementwise/elementwise.h"
#include "ops/space_to_depth/space_to_depth.h"
#include "ops/strided_conv3d/normalise_runs.h"

namespace sfr {

namespace {

constexpr int64_t kStepRows = 168;          // the rows that the matrix product takes at once
constexpr int64_t kStepFloats = 96 * 1024;  // of gathered blocks, most of them in the second-level cache
constexpr int64_t kMostParts = 32;          // partial weight gradients
constexpr int64_t kPartialFloats = 2 * 1024 * 1024;

/// How the lines of blocks along x are walked; a function of the shape alone.
struct Walk {
  BlockShape shape;
  int64_t lines, step_lines, steps;

  int64_t step_rows() const { return step_lines * shape.w; }
  /// Lines of one step.
  Range step(int64_t index) const { return {index * step_lines, std::min(lines, (index + 1) * step_lines)}; }
};

Walk walk_of(const BlockShape& s) {
  Walk walk{s, s.n * s.d * s.h, 0, 0};
  const int64_t rows = std::min(kStepRows, kStepFloats / s.row_floats());
  walk.step_lines = std::clamp<int64_t>(rows / s.w, 1, walk.lines);
  walk.steps = (walk.lines + walk.step_lines - 1) / walk.step_lines;
  return walk;
}

/// Calls piece(voxels, row): where the first of bw * channels floats of a line of blocks stands in the
/// volume, and in the matrix whose row 0 is the first block of the lines.
template <class F>
void over_pieces(const BlockShape& s, Range lines, F piece) {
  const int64_t run = s.bw * s.channels;
  for (int64_t line = lines.begin; line < lines.end; ++line) {
    const int64_t slice = line / s.h, y = line % s.h;
    for (int64_t z = 0; z < s.bd; ++z)
      for (int64_t i = 0; i < s.bh; ++i)
        piece((((slice * s.bd + z) * s.h + y) * s.bh + i) * s.w * run,
              (line - lines.begin) * s.w * s.row_floats() + (z * s.bh + i) * run);
  }
}

/// Rows of `matrix` from the blocks of a volume, through the repeated `tables` of a norm unless null.
void gather(const BlockShape& s, Range lines, const float* volume, const float* tables, float* matrix) {
  const auto copy = SFR_DISPATCH(copy_runs);
  const auto normalise = SFR_DISPATCH(normalise_runs);
  const int64_t run = s.bw * s.channels;
  over_pieces(s, lines, [&](int64_t voxels, int64_t row) {
    if (tables)
      normalise(volume + voxels, matrix + row, s.row_floats(), run, s.w, tables);
    else
      copy(volume + voxels, run, matrix + row, s.row_floats(), run, s.w, nullptr, false);
  });
}

/// Copies `rows` vectors of one float per channel, each repeated for the bw voxels of a run.
const float* repeated(const BlockShape& s, const float* vectors, int64_t rows, float* memory) {
  const int64_t run = s.bw * s.channels;
  for (int64_t i = 0; vectors && i < rows * run; ++i)
    memory[i] = vectors[i / run * s.channels + i % s.channels];
  return vectors ? memory : nullptr;
}

GemmTileSizes tile_sizes() {
  GemmTileSizes sizes;
  SFR_DISPATCH(gemm_tile_sizes)(&sizes);
  return sizes;
}

int64_t panel_count(int64_t columns) {
  return (columns + tile_sizes().panel - 1) / tile_sizes().panel;
}

int64_t rounded(int64_t floats) {
  return (floats + 15) / 16 * 16;
}

/// Memory of a thread: the gathered rows of a step and what the matrix product packs.
struct Scratch {
  float *matrix, *product;
};

int64_t matrix_floats(const Walk& walk) {
  return rounded(walk.step_rows() * walk.shape.row_floats());
}

int64_t thread_floats(const Walk& walk) {
  return matrix_floats(walk) + rounded(tile_sizes().rows * tile_sizes().k_block);
}

Scratch scratch_at(float* memory, const Walk& walk) {
  return {memory, memory + matrix_floats(walk)};
}

/// Repeated vectors: the bias, or the three of a norm.
int64_t repeated_floats(const BlockShape& shape) {
  return rounded(3 * shape.bw * shape.channels);
}

size_t product_work_bytes(const BlockShape& shape, int64_t k, int64_t n, int threads) {
  return packed_b_bytes(k, n) +
         static_cast<size_t>(repeated_floats(shape) + threads * thread_floats(walk_of(shape))) *
             sizeof(float);
}

void pack(ThreadPool& pool, float* packed, const float* weight, bool transposed, int64_t k, int64_t n) {
  const auto run = SFR_DISPATCH(gemm_pack_panels);
  const int64_t panels = panel_count(n), chunks = std::min(panels, kMaxChunks);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(panels, chunk, chunks);
    run(packed, weight, transposed ? k : n, k, n, transposed, r.begin, r.end);
  });
}

/// Calls step(lines, scratch) for all steps, in parallel.
template <class F>
void over_steps(ThreadPool& pool, const Walk& walk, float* scratch, F step) {
  const int64_t chunks = std::min(walk.steps, kMaxChunks);
  pool.parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(walk.steps, chunk, chunks);
    const Scratch mine = scratch_at(scratch + thread * thread_floats(walk), walk);
    for (int64_t i = r.begin; i < r.end; ++i) step(walk.step(i), mine);
  });
}

GemmRows whole_product(int64_t k, int64_t n, const float* packed) {
  GemmRows job{};
  job.n = job.ldc = n;
  job.k = job.packed_k = job.lda = k;
  job.packed_b = packed;
  job.last_panel = panel_count(n);
  return job;
}

}  // namespace

size_t gather_product_work_bytes(const BlockShape& shape, int64_t outputs, int threads) {
  return product_work_bytes(shape, shape.row_floats(), outputs, threads);
}

void gather_product(ThreadPool& pool, const GatherProduct& p, void* work) {
  const BlockShape& s = p.shape;
  const Walk walk = walk_of(s);
  const auto run = SFR_DISPATCH(gemm_rows);
  float* packed = static_cast<float*>(work);
  pack(pool, packed, p.weight, p.transposed, s.row_floats(), p.outputs);
  float* shared = packed + packed_b_bytes(s.row_floats(), p.outputs) / sizeof(float);
  const float* tables = repeated(s, p.norm, 3, shared);
  over_steps(pool, walk, shared + repeated_floats(s), [&](Range lines, const Scratch& mine) {
    gather(s, lines, p.x, tables, mine.matrix);
    GemmRows job = whole_product(s.row_floats(), p.outputs, packed);
    job.m = (lines.end - lines.begin) * s.w;
    job.a = mine.matrix;
    job.bias = p.bias;
    job.c = p.y + lines.begin * s.w * p.outputs;
    run(job, mine.product);
  });
}

size_t scatter_product_work_bytes(const BlockShape& shape, int64_t inputs, int threads) {
  return product_work_bytes(shape, inputs, shape.row_floats(), threads);
}

void scatter_product(ThreadPool& pool, const ScatterProduct& p, void* work) {
  const BlockShape& s = p.shape;
  const Walk walk = walk_of(s);
  const auto run = SFR_DISPATCH(gemm_rows);
  const auto copy = SFR_DISPATCH(copy_runs);
  const int64_t floats = s.bw * s.channels;
  float* packed = static_cast<float*>(work);
  float* shared = packed + packed_b_bytes(p.inputs, s.row_floats()) / sizeof(float);
  const float* bias = repeated(s, p.bias, 1, shared);
  pack(pool, packed, p.weight, p.transposed, p.inputs, s.row_floats());
  const auto bytes = static_cast<size_t>(s.rows() * s.row_floats()) * sizeof(float);
  const bool streamed = floats % 16 == 0 && worth_streaming(p.y, bytes);
  over_steps(pool, walk, shared + repeated_floats(s), [&](Range lines, const Scratch& mine) {
    GemmRows job = whole_product(p.inputs, s.row_floats(), packed);
    job.m = (lines.end - lines.begin) * s.w;
    job.a = p.x + lines.begin * s.w * p.inputs;
    job.c = mine.matrix;
    run(job, mine.product);
    over_pieces(s, lines, [&](int64_t voxels, int64_t row) {
      copy(mine.matrix + row, s.row_floats(), p.y + voxels, floats, floats, s.w, bias, streamed);
    });
  });
}

namespace {

/// Work memory of a weight gradient, in floats and doubles.
struct GradientLayout {
  Walk walk;
  int64_t parts, weights;
  int64_t sums;    // doubles per part: of all columns, then of all floats of a row
  int64_t packed;  // floats per thread: gathered rows as panels
  int64_t thread_floats;

  GradientLayout(const BlockShape& shape, int64_t columns)
      : walk(walk_of(shape)), weights(columns * shape.row_floats()), sums(columns + shape.row_floats()) {
    parts = std::clamp<int64_t>(kPartialFloats / weights, 1, std::min(kMostParts, walk.steps));
    packed = rounded(panel_count(shape.row_floats()) * tile_sizes().panel * walk.step_rows());
    thread_floats = packed + sfr::thread_floats(walk);
  }
  int64_t part_floats() const { return rounded(weights) + 2 * rounded(sums); }
};

/// Adds one step of lines to a part's weights and sums.
void add_step(const BlockWeightGradient& g, const GradientLayout& l, Range lines, bool first,
              const float* tables, float* weights, double* sums, float* scratch) {
  const auto add_row = SFR_DISPATCH(accumulate_row);
  const BlockShape& s = g.shape;
  const int64_t count = (lines.end - lines.begin) * s.w, width = s.row_floats();
  const float* rows = g.rows + lines.begin * s.w * g.columns;
  const Scratch mine = scratch_at(scratch + l.packed, l.walk);
  gather(s, lines, g.volume, tables, mine.matrix);
  for (int64_t r = 0; r < count; ++r) {
    if (g.sum_rows) add_row(rows + r * g.columns, sums, g.columns);
    if (g.sum_voxels) add_row(mine.matrix + r * width, sums + g.columns, width);
  }
  pack_b(scratch, mine.matrix, width, count, width, false);
  GemmRows job = whole_product(count, width, scratch);
  job.m = job.lda = g.columns;
  job.a = rows;
  job.a_transposed = true;
  job.c = weights;
  job.accumulate = !first;
  SFR_DISPATCH(gemm_rows)(job, mine.product);
}

}  // namespace

size_t block_weight_gradient_work_bytes(const BlockShape& shape, int64_t columns, int threads) {
  const GradientLayout l(shape, columns);
  return static_cast<size_t>(repeated_floats(shape) + l.parts * l.part_floats() + threads * l.thread_floats) *
         sizeof(float);
}

void block_weight_gradient(ThreadPool& pool, const BlockWeightGradient& g, void* work) {
  const GradientLayout l(g.shape, g.columns);
  const float* tables = repeated(g.shape, g.norm, 3, static_cast<float*>(work));
  float* parts = static_cast<float*>(work) + repeated_floats(g.shape);
  float* scratch = parts + l.parts * l.part_floats();
  const auto sums_of = [&](int64_t part) {
    return reinterpret_cast<double*>(parts + part * l.part_floats() + rounded(l.weights));
  };
  pool.parallel_for(l.parts, [&](int64_t part, int thread) {
    std::fill_n(sums_of(part), l.sums, 0.0);
    const Range steps = chunk_range(l.walk.steps, part, l.parts);
    for (int64_t i = steps.begin; i < steps.end; ++i)
      add_step(g, l, l.walk.step(i), i == steps.begin, tables, parts + part * l.part_floats(), sums_of(part),
               scratch + thread * l.thread_floats);
  });
  const int64_t width = g.shape.row_floats(), chunks = chunk_count(l.weights, kElementGrain / l.parts);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(l.weights, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      double sum = 0;
      for (int64_t part = 0; part < l.parts; ++part) sum += parts[part * l.part_floats() + i];
      g.dweight[g.transposed ? i % width * g.columns + i / width : i] = static_cast<float>(sum);
    }
  });
  const auto total = [&](int64_t first, int64_t last, int64_t step) {
    double sum = 0;
    for (int64_t part = 0; part < l.parts; ++part)
      for (int64_t i = first; i < last; i += step) sum += sums_of(part)[i];
    return static_cast<float>(sum);
  };
  for (int64_t c = 0; g.sum_rows && c < g.columns; ++c) g.sum_rows[c] = total(c, c + 1, 1);
  for (int64_t c = 0; g.sum_voxels && c < g.shape.channels; ++c)
    g.sum_voxels[c] = total(g.columns + c, l.sums, g.shape.channels);
}

}  // namespace sfr
