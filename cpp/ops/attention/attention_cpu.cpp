#include "ops/attention/attention_cpu.h"

#include <algorithm>

#include "core/chunks.h"

namespace sfr {

namespace {

AttentionBlocks blocks() {
  AttentionBlocks b;
  SFR_DISPATCH(attention_blocks)(&b);
  return b;
}

template <class T>
void advance(T*& p, int64_t floats) {
  if (p != nullptr) p += floats;
}

int64_t rounded(int64_t floats) {
  return (floats + 15) / 16 * 16;
}

}  // namespace

AttentionHead attention_head(const AttentionBatch& batch, int64_t pair) {
  AttentionHead head = batch.first;
  const AttentionSizes& s = head.sizes;
  const int64_t item = pair / batch.heads, channel = pair % batch.heads * s.depth;
  const int64_t key = item * s.keys * s.pitch + channel, out = item * s.queries * s.out_pitch + channel;
  advance(head.q, item * s.queries * s.pitch + channel);
  advance(head.k, key);
  advance(head.v, key);
  advance(head.out, out);
  advance(head.dout, out);
  advance(head.logsumexp, pair * s.queries);
  advance(head.dlogsumexp, pair * s.queries);
  advance(head.dq, item * s.queries * s.dq_pitch + channel);
  advance(head.dk, key);
  advance(head.dv, key);
  return head;
}

size_t attention_heads_work_bytes(const AttentionBatch& batch, int threads) {
  const int64_t floats = SFR_DISPATCH(attention_work_floats)(batch.first.sizes);
  return static_cast<size_t>(threads) * (static_cast<size_t>(floats) * sizeof(float) + sizeof(int64_t));
}

/// One chunk per head and block of queries. A thread keeps the packed keys of the head it worked on last.
void attention_heads(ThreadPool& pool, const AttentionBatch& batch, void* work) {
  const auto pack = SFR_DISPATCH(attention_pack);
  const auto forward = SFR_DISPATCH(attention_forward);
  const AttentionSizes& s = batch.first.sizes;
  const int64_t block = blocks().queries, per_pair = (s.queries + block - 1) / block;
  const int64_t floats = SFR_DISPATCH(attention_work_floats)(s);
  auto* memory = static_cast<float*>(work);
  auto* packed = reinterpret_cast<int64_t*>(memory + pool.threads() * floats);
  std::fill(packed, packed + pool.threads(), int64_t{-1});
  pool.parallel_for(batch.items * batch.heads * per_pair, [&](int64_t chunk, int thread) {
    const int64_t pair = chunk / per_pair, begin = chunk % per_pair * block;
    const AttentionHead head = attention_head(batch, pair);
    float* mine = memory + thread * floats;
    if (packed[thread] != pair) pack(head, mine);
    packed[thread] = pair;
    forward(head, begin, std::min(s.queries, begin + block), mine);
  });
}

int64_t attention_table_floats(const AttentionSizes& s) {
  return 2 * (s.grid_rows + s.grid_columns - 1) * s.depth;
}

void sum_attention_tables(const AttentionSizes& s, const double* sums, int64_t chunks,
                          const AttentionTables& tables) {
  const int64_t floats = attention_table_floats(s), rel_h_floats = (2 * s.grid_rows - 1) * s.depth;
  for (int64_t i = 0; i < floats; ++i) {
    double total = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) total += sums[chunk * floats + i];
    float& to = i < rel_h_floats ? tables.drel_h[i] : tables.drel_w[i - rel_h_floats];
    to = static_cast<float>(total);
  }
}

namespace {

constexpr int64_t kWantedJobs = 32;    // enough for a few dozen threads
constexpr int64_t kMostSegments = 4;   // each but the first costs a copy of dq
constexpr int64_t kSegmentKeys = 512;  // fewer keys are not worth a pass over all queries of their own

/// How the backward pass is cut: jobs = pairs x segments of keys; table gradients are summed per chunk of
/// jobs.
struct BackwardPlan {
  int64_t pairs, segments, segment_keys, chunks, table_floats, thread_floats;
  int64_t dq_pitch, dq_rows;  // of the copies of dq, one for each segment but the first
  int64_t dq_floats() const { return rounded(dq_rows * dq_pitch); }
  int64_t shared_floats() const { return rounded(2 * chunks * table_floats) + (segments - 1) * dq_floats(); }
};

BackwardPlan backward_plan(const AttentionBatch& batch, bool tables) {
  BackwardPlan p{};
  const AttentionSizes& s = batch.first.sizes;
  p.pairs = batch.items * batch.heads;
  p.segments = std::clamp<int64_t>(
      std::min((kWantedJobs + p.pairs - 1) / std::max<int64_t>(p.pairs, 1), s.keys / kSegmentKeys), 1,
      kMostSegments);
  const int64_t key_block = blocks().keys, least = (s.keys + p.segments - 1) / p.segments;
  p.segment_keys = (least + key_block - 1) / key_block * key_block;
  p.segments = (s.keys + p.segment_keys - 1) / p.segment_keys;
  p.chunks = chunk_count(p.pairs * p.segments, 1);
  p.table_floats = tables ? attention_table_floats(s) : 0;
  p.thread_floats = SFR_DISPATCH(attention_backward_work_floats)(s, std::min(p.segment_keys, s.keys));
  p.dq_pitch = batch.heads * s.depth;
  p.dq_rows = batch.items * s.queries;
  return p;
}

/// Memory: table sums of each chunk in double, dq of each segment but the first, the threads' memory.
struct BackwardMemory {
  double* tables;
  float *dq, *threads;
};

BackwardMemory backward_memory(const BackwardPlan& p, void* work) {
  auto* floats = static_cast<float*>(work);
  return {static_cast<double*>(work), floats + rounded(2 * p.chunks * p.table_floats),
          floats + p.shared_floats()};
}

void run_job(const AttentionBatch& batch, const BackwardPlan& p, int64_t job, const BackwardMemory& m,
             float* work, double* tables) {
  const int64_t segment = job % p.segments, begin = segment * p.segment_keys;
  AttentionBatch part = batch;
  if (segment > 0) {
    part.first.dq = m.dq + (segment - 1) * p.dq_floats();
    part.first.sizes.dq_pitch = p.dq_pitch;
  }
  const AttentionHead head = attention_head(part, job / p.segments);
  SFR_DISPATCH(attention_backward)
  (head, begin, std::min(head.sizes.keys, begin + p.segment_keys), work, tables);
}

void add_segments(ThreadPool& pool, const AttentionBatch& batch, const BackwardPlan& p,
                  const BackwardMemory& m) {
  const auto add = SFR_DISPATCH(attention_add);
  const int64_t pitch = batch.first.sizes.dq_pitch;
  const int64_t chunks = chunk_count(p.dq_rows, kElementGrain / p.dq_pitch + 1);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(p.dq_rows, chunk, chunks);
    for (int64_t s = 1; s < p.segments; ++s)
      add(m.dq + (s - 1) * p.dq_floats() + r.begin * p.dq_pitch, p.dq_pitch, r.end - r.begin, p.dq_pitch,
          batch.first.dq + r.begin * pitch, pitch);
  });
}

}  // namespace

size_t attention_heads_backward_work_bytes(const AttentionBatch& batch, bool tables, int threads) {
  const BackwardPlan p = backward_plan(batch, tables);
  return static_cast<size_t>(p.shared_floats() + threads * p.thread_floats) * sizeof(float);
}

void attention_heads_backward(ThreadPool& pool, const AttentionBatch& batch, const AttentionTables& tables,
                              void* work) {
  const BackwardPlan p = backward_plan(batch, tables.drel_h != nullptr);
  const BackwardMemory m = backward_memory(p, work);
  const int64_t jobs = p.pairs * p.segments;
  pool.parallel_for(p.chunks, [&](int64_t chunk, int thread) {
    double* sums = p.table_floats > 0 ? m.tables + chunk * p.table_floats : nullptr;
    if (sums) std::fill(sums, sums + p.table_floats, 0.0);
    const Range r = chunk_range(jobs, chunk, p.chunks);
    for (int64_t job = r.begin; job < r.end; ++job)
      run_job(batch, p, job, m, m.threads + thread * p.thread_floats, sums);
  });
  if (p.segments > 1) add_segments(pool, batch, p, m);
  if (p.table_floats > 0) sum_attention_tables(batch.first.sizes, m.tables, p.chunks, tables);
}

}  // namespace sfr
