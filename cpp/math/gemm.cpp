#include "math/gemm.h"

#include <algorithm>

namespace sfr {

namespace {

constexpr int64_t kMaxChunks = 64;
constexpr int64_t kWantedChunks = 32;
constexpr int64_t kSerialProducts = 1 << 20;  // below this many multiply-adds waking threads costs more
constexpr int64_t kSplitDepth = 4096;         // depth from which few output tiles are split along k
constexpr int64_t kPartialFloats = 2 * 1024 * 1024;  // all partial results of a split

int64_t div_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
size_t aligned_bytes(int64_t floats) {
  return static_cast<size_t>(div_up(floats, 16)) * 64;
}

/// How a product is shared out; a function of the shape and the SIMD level alone.
struct Plan {
  GemmTileSizes sizes;
  int64_t panels;
  int64_t places;  // of the depth in packed B
  int64_t row_chunks, rows_per_chunk;
  int64_t panel_chunks, panels_per_chunk;
  int64_t depth_chunks, depth_per_chunk;  // more than one: partial results, added up in order
  size_t packed_bytes;                    // B for all threads, 0 when given or packed piecewise
  size_t tail_bytes;                      // the tail's B
  size_t partial_bytes;
  size_t thread_bytes;
};

void split_output(const GemmArguments& g, Plan& plan) {
  const bool small = g.m * g.n * g.k <= kSerialProducts;
  const int64_t blocks = div_up(g.m, plan.sizes.rows);
  const int64_t row_chunks = small ? 1 : std::min(blocks, kMaxChunks);
  plan.rows_per_chunk = div_up(blocks, row_chunks) * plan.sizes.rows;
  plan.row_chunks = div_up(g.m, plan.rows_per_chunk);
  const int64_t panel_chunks = small ? 1 : std::min(plan.panels, div_up(kWantedChunks, plan.row_chunks));
  plan.panels_per_chunk = div_up(plan.panels, panel_chunks);
  plan.panel_chunks = div_up(plan.panels, plan.panels_per_chunk);
}

Plan make_plan(const GemmArguments& g) {
  Plan plan{};
  SFR_DISPATCH_BF16(gemm_tile_sizes)(&plan.sizes);
  plan.panels = div_up(g.n, plan.sizes.panel);
  split_output(g, plan);
  plan.depth_chunks = 1;
  plan.depth_per_chunk = g.k;
  plan.places = g.bf16 ? div_up(g.k, plan.sizes.per_place) : g.k;
  const int64_t scratch = plan.sizes.rows * (plan.sizes.k_block + g.tail_k);
  plan.thread_bytes = aligned_bytes(scratch);
  const int64_t parts = std::min({kWantedChunks, g.k / (kSplitDepth / 4), kPartialFloats / (g.m * g.n)});
  const bool one_sum = !g.packed_b && !g.bf16 && g.tail_k == 0;
  if (one_sum && g.k >= kSplitDepth && plan.row_chunks * plan.panel_chunks < kWantedChunks / 2 && parts > 1) {
    plan.depth_per_chunk = div_up(div_up(g.k, parts), plan.sizes.k_block) * plan.sizes.k_block;
    plan.depth_chunks = div_up(g.k, plan.depth_per_chunk);
    plan.partial_bytes = aligned_bytes(plan.depth_chunks * g.m * g.n);
    plan.thread_bytes += aligned_bytes(plan.panels * plan.sizes.panel * plan.sizes.k_block);
  } else if (!g.packed_b) {
    plan.packed_bytes = packed_b_bytes(plan.places, g.n);
  }
  if (g.tail_k > 0) plan.tail_bytes = packed_b_bytes(g.tail_k, g.n);
  return plan;
}

const float* f32_of(const void* matrix) {
  return static_cast<const float*>(matrix);
}

GemmRows rows_job(const GemmArguments& g, const float* packed) {
  GemmRows job{};
  job.m = g.m;
  job.n = g.n;
  job.k = job.packed_k = g.k;
  job.bf16 = g.bf16;
  job.a = g.a;
  job.lda = g.lda;
  job.a_transposed = g.a_transposed;
  job.packed_b = packed;
  job.bias = g.bias;
  job.c = g.c;
  job.ldc = g.ldc;
  job.accumulate = g.accumulate;
  return job;
}

/// One piece of the depth into its own [m, n] partial result; B is packed block by block in the thread's
/// memory.
void run_depth_chunk(const GemmArguments& g, const Plan& plan, int64_t chunk, float* partial,
                     float* scratch) {
  const auto pack = SFR_DISPATCH_BF16(gemm_pack_panels);
  const auto run = SFR_DISPATCH_BF16(gemm_rows);
  float* packed = scratch + plan.sizes.rows * plan.sizes.k_block;
  const int64_t begin = chunk * plan.depth_per_chunk, end = std::min(g.k, begin + plan.depth_per_chunk);
  for (int64_t k = begin; k < end; k += plan.sizes.k_block) {
    const int64_t depth = std::min(plan.sizes.k_block, end - k);
    pack(packed, f32_of(g.b) + (g.b_transposed ? k : k * g.ldb), g.ldb, depth, g.n, g.b_transposed, 0,
         plan.panels);
    GemmRows job = rows_job(g, packed);
    job.a += g.a_transposed ? k * g.lda : k;
    job.k = job.packed_k = depth;
    job.last_panel = plan.panels;
    job.bias = nullptr;
    job.c = partial + chunk * g.m * g.n;
    job.ldc = g.n;
    job.accumulate = k > begin;
    run(job, scratch);
  }
}

/// Adds up the partial results of rows [begin, end) in order, in double.
void reduce_depth_chunks(const GemmArguments& g, const Plan& plan, const float* partial, int64_t begin,
                         int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t j = 0; j < g.n; ++j) {
      float& c = g.c[row * g.ldc + j];
      double sum = (g.accumulate ? c : 0.0) + (g.bias ? g.bias[j] : 0.0);
      for (int64_t chunk = 0; chunk < plan.depth_chunks; ++chunk)
        sum += partial[(chunk * g.m + row) * g.n + j];
      c = static_cast<float>(sum);
    }
  }
}

void pack_panels(const GemmArguments& g, float* dst, int64_t first, int64_t last) {
  const auto pack = SFR_DISPATCH_BF16(gemm_pack_panels);
  const auto pack_bf16 = SFR_DISPATCH_BF16(gemm_pack_bf16_panels);
  if (g.bf16)
    pack_bf16(dst, static_cast<const Bf16*>(g.b), g.ldb, g.k, g.n, g.b_transposed, first, last);
  else
    pack(dst, f32_of(g.b), g.ldb, g.k, g.n, g.b_transposed, first, last);
}

void run_output_chunk(const GemmArguments& g, const Plan& plan, const float* packed, const float* packed_tail,
                      int64_t chunk, float* scratch) {
  const int64_t row = chunk / plan.panel_chunks * plan.rows_per_chunk;
  GemmRows job = rows_job(g, packed);
  job.packed_k = plan.places;
  job.m = std::min(plan.rows_per_chunk, g.m - row);
  job.a += g.a_transposed ? row : row * g.lda;
  job.c += row * g.ldc;
  if (g.tail_k > 0) {
    job.tail_a = g.tail_a + row * g.ld_tail_a;
    job.ld_tail_a = g.ld_tail_a;
    job.tail_k = g.tail_k;
    job.packed_tail_b = packed_tail;
  }
  job.first_panel = chunk % plan.panel_chunks * plan.panels_per_chunk;
  job.last_panel = std::min(plan.panels, job.first_panel + plan.panels_per_chunk);
  SFR_DISPATCH_BF16(gemm_rows)(job, scratch);
}

}  // namespace

size_t packed_b_bytes(int64_t k, int64_t n) {
  GemmTileSizes sizes;
  SFR_DISPATCH_BF16(gemm_tile_sizes)(&sizes);
  return aligned_bytes(div_up(n, sizes.panel) * sizes.panel * k);
}

void pack_b(float* dst, const float* b, int64_t ldb, int64_t k, int64_t n, bool transposed) {
  GemmTileSizes sizes;
  SFR_DISPATCH_BF16(gemm_tile_sizes)(&sizes);
  SFR_DISPATCH_BF16(gemm_pack_panels)(dst, b, ldb, k, n, transposed, 0, div_up(n, sizes.panel));
}

size_t gemm_work_bytes(const GemmArguments& arguments, int threads) {
  const Plan plan = make_plan(arguments);
  return plan.packed_bytes + plan.tail_bytes + plan.partial_bytes +
         plan.thread_bytes * static_cast<size_t>(threads);
}

void gemm(ThreadPool& pool, const GemmArguments& g, void* work) {
  const Plan plan = make_plan(g);
  char* shared = static_cast<char*>(work);
  char* own = shared + plan.packed_bytes + plan.tail_bytes + plan.partial_bytes;
  const auto scratch = [&](int thread) {
    return reinterpret_cast<float*>(own + static_cast<size_t>(thread) * plan.thread_bytes);
  };
  if (plan.depth_chunks > 1) {
    float* partial = reinterpret_cast<float*>(shared);
    pool.parallel_for(plan.depth_chunks, [&](int64_t chunk, int thread) {
      run_depth_chunk(g, plan, chunk, partial, scratch(thread));
    });
    const int64_t chunks = std::min(g.m, kWantedChunks);
    pool.parallel_for(chunks, [&](int64_t chunk, int) {
      reduce_depth_chunks(g, plan, partial, g.m * chunk / chunks, g.m * (chunk + 1) / chunks);
    });
    return;
  }
  const float* packed = g.packed_b;
  const int64_t output_chunks = plan.row_chunks * plan.panel_chunks;
  if (!packed) {
    float* dst = reinterpret_cast<float*>(shared);
    const int64_t chunks = output_chunks == 1 ? 1 : std::min(plan.panels, kMaxChunks);
    pool.parallel_for(chunks, [&](int64_t chunk, int) {
      pack_panels(g, dst, plan.panels * chunk / chunks, plan.panels * (chunk + 1) / chunks);
    });
    packed = dst;
  }
  float* tail = reinterpret_cast<float*>(shared + plan.packed_bytes);
  if (g.tail_k > 0) pack_b(tail, g.tail_b, g.n, g.tail_k, g.n, false);
  pool.parallel_for(output_chunks, [&](int64_t chunk, int thread) {
    run_output_chunk(g, plan, packed, tail, chunk, scratch(thread));
  });
}

size_t gemm_serial_work_bytes(const GemmArguments& g) {
  GemmTileSizes sizes;
  SFR_DISPATCH_BF16(gemm_tile_sizes)(&sizes);
  return (g.packed_b ? 0 : packed_b_bytes(g.k, g.n)) + aligned_bytes(sizes.rows * sizes.k_block);
}

void gemm_serial(const GemmArguments& g, void* work) {
  float* scratch = static_cast<float*>(work);
  const float* packed = g.packed_b;
  if (!packed) {
    pack_b(scratch, f32_of(g.b), g.ldb, g.k, g.n, g.b_transposed);
    packed = scratch;
    scratch += packed_b_bytes(g.k, g.n) / sizeof(float);
  }
  GemmTileSizes sizes;
  SFR_DISPATCH_BF16(gemm_tile_sizes)(&sizes);
  GemmRows job = rows_job(g, packed);
  job.last_panel = div_up(g.n, sizes.panel);
  SFR_DISPATCH_BF16(gemm_rows)(job, scratch);
}

}  // namespace sfr
