#include "ops/attention/attention_cuda.h"

#include "device/launch.h"

namespace sfr {

namespace {

constexpr int64_t kSide = 16;  // queries, or keys, of a block

int64_t pairs_of(const AttentionArgs& a) {
  return a.items * a.down * a.across * a.heads;
}

int64_t relative_floats(const AttentionArgs& a) {
  return a.is_relative ? pairs_of(a) * a.queries.tokens() * (a.keys.rows + a.keys.columns) : 0;
}

int64_t statistics_floats(const AttentionArgs& a) {
  return a.items * a.heads * a.queries.height * a.queries.width;
}

int64_t padded_floats(const AttentionArgs& a) {
  return a.parameters ? pairs_of(a) * a.keys.tokens() * 2 * a.depth : 0;
}

Grid tile_grid(const AttentionArgs& a, int64_t tokens) {
  return {static_cast<uint32_t>((tokens + kSide - 1) / kSide), static_cast<uint32_t>(pairs_of(a))};
}

}  // namespace

const char* refuses_attention_depth(int64_t depth) {
  return depth > 128 ? "wants heads of at most 128 channels" : nullptr;
}

size_t attention_cuda_work_bytes(const AttentionArgs& a) {
  return static_cast<size_t>(relative_floats(a)) * sizeof(float);
}

void launch_attention(const KernelContext& c, AttentionArgs a) {
  a.relative = static_cast<float*>(c.work);
  if (a.is_relative) launch(c, "attention_relative", element_grid(relative_floats(a)), a);
  launch(c, "attention_forward", tile_grid(a, a.queries.tokens()), a);
}

size_t attention_backward_cuda_work_bytes(const AttentionArgs& a) {
  return static_cast<size_t>(2 * relative_floats(a) + statistics_floats(a) + padded_floats(a)) *
         sizeof(float);
}

void launch_attention_backward(const KernelContext& c, AttentionArgs a) {
  a.relative = static_cast<float*>(c.work);
  a.drelative = a.relative + relative_floats(a);
  a.delta = a.drelative + relative_floats(a);
  a.dpadded = a.parameters ? a.delta + statistics_floats(a) : nullptr;
  if (a.is_relative) launch(c, "attention_relative", element_grid(relative_floats(a)), a);
  launch(c, "attention_delta", element_grid(statistics_floats(a)), a);
  launch(c, "attention_backward_queries", tile_grid(a, a.queries.tokens()), a);
  launch(c, "attention_backward_keys", tile_grid(a, a.keys.tokens()), a);
  if (!a.parameters) return;
  launch(c, "attention_backward_padding", element_grid(3 * a.heads * a.depth), a);
  launch(c, "attention_backward_tables", element_grid(2 * (a.keys.rows + a.keys.columns - 1) * a.depth), a);
}

}  // namespace sfr
