// The kernels of `attention` on windows of the grid, which are read where they stand.
#include "device/launch.h"
#include "ops/attention/attention_cuda.h"
#include "ops/grid_attention/grid_attention.h"

namespace sfr {

namespace {

/// Without tensors.
AttentionArgs kernel_args(const Shape& qkv, int64_t heads, int64_t window) {
  const int64_t channels = qkv[3] / 3, rows = window > 0 ? window : qkv[1],
                columns = window > 0 ? window : qkv[2];
  AttentionArgs args{};
  args.items = qkv[0], args.heads = heads, args.depth = channels / heads;
  args.pitch = qkv[3], args.out_pitch = channels;
  args.queries = args.keys = {qkv[1], qkv[2], rows, columns};
  args.down = (qkv[1] + rows - 1) / rows, args.across = (qkv[2] + columns - 1) / columns;
  args.is_relative = true;
  return args;
}

template <class A>
AttentionArgs kernel_args(const KernelContext& c) {
  AttentionArgs args = kernel_args(c.inputs[0].type.shape, c.as<A>().heads, c.as<A>().window);
  const int64_t channels = args.out_pitch;
  args.q = elements_of(c, 0), args.k = args.q + channels, args.v = args.k + channels;
  args.padding_k = c.in<float>(1) + channels, args.padding_v = args.padding_k + channels;
  args.rel_h = c.in<float>(2), args.rel_w = c.in<float>(3);
  return args;
}

}  // namespace

size_t grid_attention_cuda_work_bytes(const NodeTypes& t) {
  const auto& a = t.as<GridAttentionAttributes>();
  return attention_cuda_work_bytes(kernel_args(t.input(0).shape, a.heads, a.window));
}

void grid_attention_cuda(const KernelContext& c) {
  AttentionArgs args = kernel_args<GridAttentionAttributes>(c);
  args.out = results_of(c, 0), args.logsumexp = c.out<float>(1);
  launch_attention(c, args);
}

size_t grid_attention_backward_cuda_work_bytes(const NodeTypes& t) {
  const auto& a = t.as<GridAttentionBackwardAttributes>();
  AttentionArgs args = kernel_args(t.input(0).shape, a.heads, a.window);
  args.parameters = a.parameters;
  return attention_backward_cuda_work_bytes(args);
}

void grid_attention_backward_cuda(const KernelContext& c) {
  AttentionArgs args = kernel_args<GridAttentionBackwardAttributes>(c);
  args.result = elements_of(c, 4), args.logsumexp = c.in<float>(5);
  args.dout = elements_of(c, 6), args.dlogsumexp = c.in<float>(7);
  args.dq = results_of(c, 0), args.dk = args.dq + args.out_pitch, args.dv = args.dk + args.out_pitch;
  args.parameters = c.as<GridAttentionBackwardAttributes>().parameters;
  if (args.parameters)
    args.dpadding = c.out<float>(1), args.drel_h = c.out<float>(2), args.drel_w = c.out<float>(3);
  launch_attention_backward(c, args);
}

}  // namespace sfr
