#include "ops/attention/attention_cpu.h"

#include <algorithm>

#include "core/chunks.h"
#include "ops/attention/attention.h"

namespace sfr {

namespace {

AttentionSizes sizes_of(const Shape& q, const Shape& k, int64_t heads, const std::array<int64_t, 2>& grid,
                        bool relative) {
  return {q[1], k[1], q[2] / heads, q[2], relative ? grid[0] : 0, relative ? grid[1] : 0};
}

AttentionBlocks blocks() {
  AttentionBlocks b;
  SFR_DISPATCH(attention_blocks)(&b);
  return b;
}

/// The head of pair = batch item * heads + head with its inputs q, k, v, rel_h, rel_w.
AttentionHead head_of(const KernelContext& c, const AttentionSizes& s, int64_t heads, int64_t pair) {
  AttentionHead head{};
  const int64_t first = pair % heads * s.depth, item = pair / heads;
  head.sizes = s;
  head.q = c.in<float>(0) + item * s.queries * s.channels + first;
  head.k = c.in<float>(1) + item * s.keys * s.channels + first;
  head.v = c.in<float>(2) + item * s.keys * s.channels + first;
  head.rel_h = c.in<float>(3);
  head.rel_w = c.in<float>(4);
  return head;
}

}  // namespace

size_t attention_work_bytes(const NodeTypes& t, int threads) {
  const auto& a = t.as<AttentionAttributes>();
  const AttentionSizes s = sizes_of(t.input(0).shape, t.input(1).shape, a.heads, a.grid, t.has(3));
  return static_cast<size_t>(SFR_DISPATCH(attention_work_floats)(s) * threads) * sizeof(float) +
         static_cast<size_t>(threads) * sizeof(int64_t);
}

/// One chunk per head and block of queries. A thread keeps the packed keys of the head it worked on last.
void attention_cpu(const KernelContext& c) {
  const auto pack = SFR_DISPATCH(attention_pack);
  const auto forward = SFR_DISPATCH(attention_forward);
  const auto& a = c.as<AttentionAttributes>();
  const AttentionSizes s =
      sizes_of(c.inputs[0].type.shape, c.inputs[1].type.shape, a.heads, a.grid, c.has(3));
  const int64_t pairs = c.inputs[0].type.shape[0] * a.heads, block = blocks().queries;
  const int64_t per_pair = (s.queries + block - 1) / block, floats = SFR_DISPATCH(attention_work_floats)(s);
  const int threads = c.pool->threads();
  auto* work = static_cast<float*>(c.work);
  auto* packed = reinterpret_cast<int64_t*>(work + threads * floats);
  std::fill(packed, packed + threads, int64_t{-1});
  c.pool->parallel_for(pairs * per_pair, [&](int64_t chunk, int thread) {
    const int64_t pair = chunk / per_pair, begin = chunk % per_pair * block;
    AttentionHead head = head_of(c, s, a.heads, pair);
    head.out = c.out<float>(0) + (head.q - c.in<float>(0));
    head.logsumexp = c.out<float>(1) + pair * s.queries;
    float* mine = work + thread * floats;
    if (packed[thread] != pair) pack(head, mine);
    packed[thread] = pair;
    forward(head, begin, std::min(s.queries, begin + block), mine);
  });
}

namespace {

constexpr int64_t kWantedJobs = 32;    // enough for a few dozen threads
constexpr int64_t kMostSegments = 4;   // each but the first costs a copy of dq
constexpr int64_t kSegmentKeys = 512;  // fewer keys are not worth a pass over all queries of their own

/// How the backward pass is cut: jobs = pairs x segments of keys; table gradients are summed per chunk of
/// jobs.
struct BackwardPlan {
  AttentionSizes sizes;
  int64_t pairs, segments, segment_keys, chunks, table_floats, thread_floats, dq_floats;
};

BackwardPlan backward_plan(const Shape& q, const Shape& k, const AttentionBackwardAttributes& a,
                           bool relative) {
  BackwardPlan p{};
  p.sizes = sizes_of(q, k, a.heads, a.grid, relative);
  p.pairs = q[0] * a.heads;
  p.segments = std::clamp<int64_t>(
      std::min((kWantedJobs + p.pairs - 1) / std::max<int64_t>(p.pairs, 1), k[1] / kSegmentKeys), 1,
      kMostSegments);
  const int64_t key_block = blocks().keys, least = (k[1] + p.segments - 1) / p.segments;
  p.segment_keys = (least + key_block - 1) / key_block * key_block;
  p.segments = (k[1] + p.segment_keys - 1) / p.segment_keys;
  p.chunks = chunk_count(p.pairs * p.segments, 1);
  p.table_floats = a.tables ? 2 * (a.grid[0] + a.grid[1] - 1) * p.sizes.depth : 0;
  p.thread_floats = SFR_DISPATCH(attention_backward_work_floats)(p.sizes, std::min(p.segment_keys, k[1]));
  p.dq_floats = q.count();
  return p;
}

/// Memory: table sums of each chunk in double, dq of each segment but the first, the threads' memory.
struct BackwardMemory {
  double* tables;
  float *dq, *threads;
};

int64_t rounded(int64_t floats) {
  return (floats + 15) / 16 * 16;
}

BackwardMemory backward_memory(const BackwardPlan& p, void* work) {
  BackwardMemory m;
  m.threads = static_cast<float*>(work);
  m.tables = static_cast<double*>(work);
  m.dq = m.threads + rounded(2 * p.chunks * p.table_floats);
  m.threads = m.dq + (p.segments - 1) * rounded(p.dq_floats);
  return m;
}

void run_job(const KernelContext& c, const BackwardPlan& p, int64_t heads, int64_t job,
             const BackwardMemory& m, float* work, double* tables) {
  const int64_t pair = job / p.segments, segment = job % p.segments, begin = segment * p.segment_keys;
  AttentionHead head = head_of(c, p.sizes, heads, pair);
  const int64_t query_at = head.q - c.in<float>(0), key_at = head.k - c.in<float>(1);
  head.out = c.in<float>(5) + query_at;
  head.logsumexp = c.in<float>(6) + pair * p.sizes.queries;
  head.dout = c.has(7) ? c.in<float>(7) + query_at : nullptr;
  head.dlogsumexp = c.has(8) ? c.in<float>(8) + pair * p.sizes.queries : nullptr;
  head.dq = (segment == 0 ? c.out<float>(0) : m.dq + (segment - 1) * rounded(p.dq_floats)) + query_at;
  head.dk = c.out<float>(1) + key_at;
  head.dv = c.out<float>(2) + key_at;
  SFR_DISPATCH(attention_backward)(head, begin, std::min(p.sizes.keys, begin + p.segment_keys), work, tables);
}

void add_segments(const KernelContext& c, const BackwardPlan& p, const BackwardMemory& m) {
  const auto add = SFR_DISPATCH(attention_add);
  const int64_t chunks = chunk_count(p.dq_floats, kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(p.dq_floats, chunk, chunks);
    for (int64_t s = 1; s < p.segments; ++s)
      add(m.dq + (s - 1) * rounded(p.dq_floats) + r.begin, r.end - r.begin, c.out<float>(0) + r.begin);
  });
}

}  // namespace

size_t attention_backward_work_bytes(const NodeTypes& t, int threads) {
  const BackwardPlan p =
      backward_plan(t.input(0).shape, t.input(1).shape, t.as<AttentionBackwardAttributes>(), t.has(3));
  const int64_t floats = rounded(2 * p.chunks * p.table_floats) + (p.segments - 1) * rounded(p.dq_floats) +
                         threads * p.thread_floats;
  return static_cast<size_t>(floats) * sizeof(float);
}

void attention_backward_cpu(const KernelContext& c) {
  const auto& a = c.as<AttentionBackwardAttributes>();
  const BackwardPlan p = backward_plan(c.inputs[0].type.shape, c.inputs[1].type.shape, a, c.has(3));
  const BackwardMemory m = backward_memory(p, c.work);
  const int64_t jobs = p.pairs * p.segments;
  c.pool->parallel_for(p.chunks, [&](int64_t chunk, int thread) {
    double* tables = p.table_floats > 0 ? m.tables + chunk * p.table_floats : nullptr;
    if (tables) std::fill(tables, tables + p.table_floats, 0.0);
    const Range r = chunk_range(jobs, chunk, p.chunks);
    for (int64_t job = r.begin; job < r.end; ++job)
      run_job(c, p, a.heads, job, m, m.threads + thread * p.thread_floats, tables);
  });
  if (p.segments > 1) add_segments(c, p, m);
  const int64_t rel_h_floats = p.table_floats > 0 ? c.outputs[3].count() : 0;
  for (int64_t i = 0; i < p.table_floats; ++i) {
    double total = 0;
    for (int64_t chunk = 0; chunk < p.chunks; ++chunk) total += m.tables[chunk * p.table_floats + i];
    if (i < rel_h_floats)
      c.out<float>(3)[i] = static_cast<float>(total);
    else
      c.out<float>(4)[i - rel_h_floats] = static_cast<float>(total);
  }
}

}  // namespace sfr
