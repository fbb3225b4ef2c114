// Attention on a CUDA device, for attention and grid_attention: parameters and launches of the kernels of
// attention.cu.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/elements.h"

namespace sfr {

struct KernelContext;
struct NodeTypes;

/// Tokens on a grid [height, width] that is cut into windows [rows, columns].
struct TokenGrid {
  int64_t height, width, rows, columns;
  int64_t tokens() const { return rows * columns; }
};

/// Attention within windows; tokens in a row are windows of one column. Tensors begin at the first head of
/// the first token; what an op or a pass does not have is null. The last four blocks lie in work memory.
struct AttentionArgs {
  int64_t items, heads, depth;
  int64_t pitch, out_pitch;  // floats between tokens of q, k, v and their gradients; of out and dout
  TokenGrid queries, keys;   // their windows stand at the same places
  int64_t down, across;      // windows of a grid
  bool is_relative;          // whether scores have terms by relative position
  bool parameters;           // whether padding and tables get gradients
  Elements q, k, v;
  const float *padding_k, *padding_v;  // of keys beyond the grid
  const float *rel_h, *rel_w;
  Results out;
  Elements result;  // what out was, for the backward pass
  float* logsumexp;
  Elements dout;
  const float* dlogsumexp;
  Results dq, dk, dv;
  float *dpadding, *drel_h, *drel_w;
  float *relative, *drelative;  // [windows * heads][queries][rows + columns]: terms of a query by key's place
  float* delta;                 // as logsumexp: sum of dout out - dlogsumexp
  float* dpadded;               // [windows * heads][keys][2][depth]: dk and dv of keys beyond the grid
};

/// Null, or why the kernels do not take heads of that depth.
const char* refuses_attention_depth(int64_t depth);

size_t attention_cuda_work_bytes(const AttentionArgs& args);
void launch_attention(const KernelContext& c, AttentionArgs args);

size_t attention_backward_cuda_work_bytes(const AttentionArgs& args);
void launch_attention_backward(const KernelContext& c, AttentionArgs args);

}  // namespace sfr
