// All heads of a batch on the CPU, for attention and for global grid_attention.
#pragma once
#include <cstddef>

#include "core/thread_pool.h"
#include "ops/attention/attention.h"

namespace sfr {

/// `first` is head 0 of item 0; head h lies h * depth channels further, the rows of item i + 1 follow those
/// of item i. logsumexp is [items, heads, queries].
struct AttentionBatch {
  AttentionHead first;
  int64_t items, heads;
};

/// The head of pair = item * heads + head.
AttentionHead attention_head(const AttentionBatch& batch, int64_t pair);

size_t attention_heads_work_bytes(const AttentionBatch& batch, int threads);
void attention_heads(ThreadPool& pool, const AttentionBatch& batch, void* work);

/// Gradients of the relative tables, both or neither.
struct AttentionTables {
  float *drel_h = nullptr, *drel_w = nullptr;
};

/// Floats of both tables of one head's grid.
int64_t attention_table_floats(const AttentionSizes& sizes);
/// Adds up the chunks' table sums [chunks][table floats], chunk by chunk.
void sum_attention_tables(const AttentionSizes& sizes, const double* sums, int64_t chunks,
                          const AttentionTables& tables);

size_t attention_heads_backward_work_bytes(const AttentionBatch& batch, bool tables, int threads);
void attention_heads_backward(ThreadPool& pool, const AttentionBatch& batch, const AttentionTables& tables,
                              void* work);

}  // namespace sfr
