#include "ops/strided_conv3d/strided_conv3d.h"

#include "cuda/product_grid.h"
#include "graph/graph.h"
#include "ops/elementwise/elementwise.h"
#include "ops/strided_conv3d/block_product.h"

namespace sfr {

namespace {

using Block = std::array<int64_t, 3>;

int64_t voxels_of(const Block& block) {
  return block[0] * block[1] * block[2];
}

const Shape& expect_volume(const InferContext& c, size_t i, const char* name) {
  c.expect_dtype(i, name, DType::f32);
  c.expect_rank(i, name, 5);
  const TensorType& t = c.input(i, name);
  c.expect(t.shape.count() > 0, name, "at least one element", t.text());
  return t.shape;
}

const Block& expect_block(const InferContext& c, const Block& block) {
  for (const int64_t b : block)
    c.expect(b >= 1, "block", "three integers >= 1", std::to_string(b), ErrorCode::usage);
  return block;
}

/// The fine volume's shape cut into blocks: its voxels become channels of a coarse volume.
Shape coarse_shape(const InferContext& c, const Shape& fine, const char* name, const Block& block,
                   int64_t channels) {
  for (int i = 0; i < 3; ++i) {
    const int64_t b = block[static_cast<size_t>(i)];
    c.expect(fine[i + 1] % b == 0, name, "extents divisible by the block's", fine.text());
  }
  return {fine[0], fine[1] / block[0], fine[2] / block[1], fine[3] / block[2], channels};
}

Shape fine_shape(const Shape& coarse, const Block& block, int64_t channels) {
  return {coarse[0], coarse[1] * block[0], coarse[2] * block[1], coarse[3] * block[2], channels};
}

/// The other way round, from a fine shape that the block divides.
BlockShape blocks_of(const Shape& fine, const Block& b) {
  return {fine[0], fine[1] / b[0], fine[2] / b[1], fine[3] / b[2], b[0], b[1], b[2], fine[4]};
}

/// Checks weight [rows, columns] at input 1; a negative extent may be anything.
const Shape& expect_weight(const InferContext& c, int64_t rows, int64_t columns) {
  c.expect_dtype(1, "weight", DType::f32);
  c.expect_rank(1, "weight", 2);
  const TensorType& t = c.input(1, "weight");
  c.expect(t.shape.count() > 0 && (rows < 0 || t.shape[0] == rows) && (columns < 0 || t.shape[1] == columns),
           "weight", rows < 0 ? std::to_string(columns) + " columns" : std::to_string(rows) + " rows",
           t.text());
  return t.shape;
}

void expect_bias(const InferContext& c, int64_t channels) {
  if (!c.has(2)) return;
  c.expect_dtype(2, "bias", DType::f32);
  c.expect_shape(2, "bias", Shape{channels});
}

void expect_norm(const InferContext& c, size_t i, const Shape& x) {
  if (!c.has(i)) return;
  c.expect_dtype(i, "norm", DType::f32);
  c.expect_shape(i, "norm", Shape{3, x[4]});
}

/// Channels of the fine volume from the weight's extent along blocks.
int64_t fine_channels(const InferContext& c, int64_t extent, const Block& block) {
  c.expect(extent % voxels_of(block) == 0, "weight",
           "a multiple of the block's " + std::to_string(voxels_of(block)) + " voxels",
           std::to_string(extent));
  return extent / voxels_of(block);
}

// ---- shapes

void infer_strided(InferContext& c) {
  c.expect_inputs(2, kStridedConv3dNorm + 1);
  const Block& block = expect_block(c, c.attributes<StridedConv3dAttributes>().block);
  const Shape& x = expect_volume(c, 0, "x");
  const Shape& weight = expect_weight(c, voxels_of(block) * x[4], -1);
  expect_bias(c, weight[1]);
  expect_norm(c, kStridedConv3dNorm, x);
  c.output({DType::f32, coarse_shape(c, x, "x", block, weight[1])});
}

void infer_transposed(InferContext& c) {
  c.expect_inputs(2, 3);
  const Block& block = expect_block(c, c.attributes<StridedConv3dAttributes>().block);
  const Shape& x = expect_volume(c, 0, "x");
  const Shape y = fine_shape(x, block, fine_channels(c, expect_weight(c, x[4], -1)[1], block));
  expect_bias(c, y[4]);
  c.output({DType::f32, y});
}

void infer_strided_backward_input(InferContext& c) {
  c.expect_inputs(2, 2);
  const Block& block = expect_block(c, c.attributes<StridedConv3dAttributes>().block);
  const Shape& dy = expect_volume(c, 0, "dy");
  c.output({DType::f32, fine_shape(dy, block, fine_channels(c, expect_weight(c, -1, dy[4])[0], block))});
}

void infer_transposed_backward_input(InferContext& c) {
  c.expect_inputs(2, 2);
  const Block& block = expect_block(c, c.attributes<StridedConv3dAttributes>().block);
  const Shape& dy = expect_volume(c, 0, "dy");
  const Shape& weight = expect_weight(c, -1, voxels_of(block) * dy[4]);
  c.output({DType::f32, coarse_shape(c, dy, "dy", block, weight[0])});
}

/// Inputs x and dy of which number `fine` is the fine volume.
void infer_backward_weight(InferContext& c, size_t fine) {
  c.expect_inputs(2, fine == 0 ? kStridedConv3dWeightNorm + 1 : 2);
  const auto& a = c.attributes<StridedConv3dWeightAttributes>();
  const Shape &x = expect_volume(c, 0, "x"), &dy = expect_volume(c, 1, "dy");
  const Shape &volume = fine == 0 ? x : dy, &rows = fine == 0 ? dy : x;
  expect_block(c, a.block);
  expect_norm(c, kStridedConv3dWeightNorm, x);
  c.expect(coarse_shape(c, volume, fine == 0 ? "x" : "dy", a.block, rows[4]) == rows, "dy",
           "the blocks of x " + x.text(), dy.text());
  const int64_t extent = voxels_of(a.block) * volume[4];
  c.output({DType::f32, fine == 0 ? Shape{extent, rows[4]} : Shape{rows[4], extent}});
  if (a.bias) c.output({DType::f32, Shape{dy[4]}});
}

void infer_strided_backward_weight(InferContext& c) {
  infer_backward_weight(c, 0);
}

void infer_transposed_backward_weight(InferContext& c) {
  infer_backward_weight(c, 1);
}

// ---- kernels

/// Volume at input 0 to rows: forward of the strided, input gradient of the transposed convolution.
template <bool kTransposed>
void gather_cpu(const KernelContext& c) {
  const BlockShape shape = blocks_of(c.inputs[0].type.shape, c.as<StridedConv3dAttributes>().block);
  gather_product(*c.pool,
                 GatherProduct{shape, c.outputs[0].type.shape[4], c.in<float>(0), c.in<float>(1),
                               c.in<float>(2), c.in<float>(kStridedConv3dNorm), kTransposed, c.out<float>(0)},
                 c.work);
}

size_t gather_work_bytes(const NodeTypes& t, int threads) {
  return gather_product_work_bytes(blocks_of(t.input(0).shape, t.as<StridedConv3dAttributes>().block),
                                   t.outputs[0].shape[4], threads);
}

/// Rows at input 0 to a volume: forward of the transposed, input gradient of the strided convolution.
template <bool kTransposed>
void scatter_cpu(const KernelContext& c) {
  const BlockShape shape = blocks_of(c.outputs[0].type.shape, c.as<StridedConv3dAttributes>().block);
  scatter_product(*c.pool,
                  ScatterProduct{shape, c.inputs[0].type.shape[4], c.in<float>(0), c.in<float>(1),
                                 c.in<float>(2), kTransposed, c.out<float>(0)},
                  c.work);
}

size_t scatter_work_bytes(const NodeTypes& t, int threads) {
  return scatter_product_work_bytes(blocks_of(t.outputs[0].shape, t.as<StridedConv3dAttributes>().block),
                                    t.input(0).shape[4], threads);
}

/// Inputs x and dy of which number kFine is the fine volume.
template <size_t kFine>
void weight_cpu(const KernelContext& c) {
  const auto& a = c.as<StridedConv3dWeightAttributes>();
  float* dbias = a.bias ? c.out<float>(1) : nullptr;
  block_weight_gradient(
      *c.pool,
      BlockWeightGradient{blocks_of(c.inputs[kFine].type.shape, a.block), c.inputs[1 - kFine].type.shape[4],
                          c.in<float>(1 - kFine), c.in<float>(kFine), c.in<float>(kStridedConv3dWeightNorm),
                          kFine == 0, c.out<float>(0), kFine == 0 ? dbias : nullptr,
                          kFine == 1 ? dbias : nullptr},
      c.work);
}

template <size_t kFine>
size_t weight_work_bytes(const NodeTypes& t, int threads) {
  return block_weight_gradient_work_bytes(
      blocks_of(t.input(kFine).shape, t.as<StridedConv3dWeightAttributes>().block),
      t.input(1 - kFine).shape[4], threads);
}

// ---- CUDA kernels

/// `fine`: the shape of the volume that the block divides; `columns`: channels of the coarse one.
BlockProductArgs kernel_args(const Shape& fine, const Block& block, int64_t columns) {
  const BlockShape s = blocks_of(fine, block);
  BlockProductArgs args{};
  args.d = s.d, args.h = s.h, args.w = s.w, args.bd = s.bd, args.bh = s.bh, args.bw = s.bw;
  args.channels = s.channels, args.columns = columns;
  args.row_count = s.rows(), args.row_floats = s.row_floats(), args.parts = 1;
  return args;
}

template <bool kTransposed>
void gather_cuda(const KernelContext& c) {
  BlockProductArgs args =
      kernel_args(c.inputs[0].type.shape, c.as<StridedConv3dAttributes>().block, c.outputs[0].type.shape[4]);
  args.volume = elements_of(c, 0), args.weight = c.in<float>(1), args.bias = c.in<float>(2);
  args.norm = c.in<float>(kStridedConv3dNorm), args.y = results_of(c, 0);
  args.weight_row = kTransposed ? 1 : args.columns, args.weight_column = kTransposed ? args.row_floats : 1;
  launch(c, "block_gather", product_grid(args.row_count, args.columns, 1), args);
}

template <bool kTransposed>
void scatter_cuda(const KernelContext& c) {
  BlockProductArgs args =
      kernel_args(c.outputs[0].type.shape, c.as<StridedConv3dAttributes>().block, c.inputs[0].type.shape[4]);
  args.rows = elements_of(c, 0), args.weight = c.in<float>(1), args.bias = c.in<float>(2);
  args.y = results_of(c, 0);
  args.weight_row = kTransposed ? 1 : args.row_floats, args.weight_column = kTransposed ? args.columns : 1;
  launch(c, "block_scatter", product_grid(args.row_count, args.row_floats, 1), args);
}

/// Without its tensors.
template <size_t kFine>
BlockProductArgs weight_args(const Shape& x, const Shape& dy, const Block& block) {
  BlockProductArgs args = kernel_args(kFine == 0 ? x : dy, block, kFine == 0 ? dy[4] : x[4]);
  args.weight_row = kFine == 0 ? args.columns : 1, args.weight_column = kFine == 0 ? 1 : args.row_floats;
  args.parts = static_cast<int32_t>(product_parts(args.row_floats, args.columns, args.row_count));
  return args;
}

template <size_t kFine>
void weight_cuda(const KernelContext& c) {
  const auto& a = c.as<StridedConv3dWeightAttributes>();
  BlockProductArgs args = weight_args<kFine>(c.inputs[0].type.shape, c.inputs[1].type.shape, a.block);
  const int64_t m = args.row_floats, n = args.columns;
  args.volume = elements_of(c, kFine), args.rows = elements_of(c, 1 - kFine);
  args.norm = c.in<float>(kStridedConv3dWeightNorm);
  args.y = {args.parts == 1 ? c.out<float>(0) : c.work};
  launch(c, "block_weight", product_grid(m, n, args.parts), args);
  void* rest = static_cast<char*>(c.work) + parts_bytes(m, n, args.parts);
  const Shape& dy = c.inputs[1].type.shape;
  if (args.parts > 1) sum_over_rows(c, args.y.elements(), args.parts, m * n, c.out<float>(0), rest);
  if (a.bias) sum_over_rows(c, elements_of(c, 1), dy.count(0, 4), dy[4], c.out<float>(1), rest);
}

template <size_t kFine>
size_t weight_cuda_work_bytes(const NodeTypes& t) {
  const auto& a = t.as<StridedConv3dWeightAttributes>();
  const Shape& dy = t.input(1).shape;
  const BlockProductArgs args = weight_args<kFine>(t.input(0).shape, dy, a.block);
  const int64_t m = args.row_floats, n = args.columns;
  return parts_bytes(m, n, args.parts) +
         std::max(sum_over_rows_bytes(args.parts, m * n), sum_over_rows_bytes(dy.count(0, 4), dy[4]));
}

// ---- gradients

void gradient(GradientContext& c, const char* of_input, const char* of_weight) {
  const ValueId dy = c.output_gradient(0);
  const auto& a = c.attributes<StridedConv3dAttributes>();
  // Weights first: x can go before dx comes.
  if (c.wants(1)) {
    const auto outputs =
        c.add(of_weight, {c.input(0), dy}, StridedConv3dWeightAttributes{a.block, c.wants(2)});
    c.set(1, outputs[0]);
    if (c.wants(2)) c.set(2, outputs[1]);
  } else if (c.wants(2)) {
    c.set(2, c.add("sum_to", {dy}, TargetShapeAttributes{c.type(c.input(2)).shape.extents()})[0]);
  }
  if (c.wants(0)) c.set(0, c.add(of_input, {dy, c.input(1)}, a)[0]);
}

void gradient_strided(GradientContext& c) {
  gradient(c, "strided_conv3d_backward_input", "strided_conv3d_backward_weight");
}

void gradient_transposed(GradientContext& c) {
  gradient(c, "transposed_conv3d_backward_input", "transposed_conv3d_backward_weight");
}

/// Products with a weight at input 1.
double flops(const NodeTypes& t) {
  const double rows =
      static_cast<double>(std::min(t.input(0).shape.count(0, 4), t.outputs[0].shape.count(0, 4)));
  return 2 * rows * static_cast<double>(t.input(1).shape.count());
}

double weight_flops(const NodeTypes& t) {
  const double rows =
      static_cast<double>(std::min(t.input(0).shape.count(0, 4), t.input(1).shape.count(0, 4)));
  return 2 * rows * static_cast<double>(t.outputs[0].shape.count());
}

OpDef product(const char* name, void (*infer)(InferContext&), Kernel kernel,
              size_t (*work_bytes)(const NodeTypes&, int), Kernel cuda) {
  OpDef op = op_definition<StridedConv3dAttributes>(name);
  op.infer = infer;
  op.cpu = {kernel};
  op.work_bytes = work_bytes;
  op.cuda = {cuda};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.flops = &flops;
  return op;
}

template <size_t kFine>
OpDef weight_product(const char* name, void (*infer)(InferContext&)) {
  OpDef op = op_definition<StridedConv3dWeightAttributes>(name);
  op.infer = infer;
  op.cpu = {{"gather", &weight_cpu<kFine>}};
  op.work_bytes = &weight_work_bytes<kFine>;
  op.cuda = {{"implicit_gemm", &weight_cuda<kFine>}};
  op.bf16_inputs = kFirst | kSecond;
  op.cuda_work_bytes = &weight_cuda_work_bytes<kFine>;
  op.flops = &weight_flops;
  return op;
}

}  // namespace

void register_strided_conv3d(OpRegistry& registry) {
  OpDef strided = product("strided_conv3d", &infer_strided, {"gather", &gather_cpu<false>},
                          &gather_work_bytes, {"implicit_gemm", &gather_cuda<false>});
  strided.gradient = &gradient_strided;
  strided.repeat = Repeat::to_save_memory;
  registry.add(std::move(strided));
  registry.add(product("strided_conv3d_backward_input", &infer_strided_backward_input,
                       {"scatter", &scatter_cpu<true>}, &scatter_work_bytes,
                       {"implicit_gemm", &scatter_cuda<true>}));
  registry.add(weight_product<0>("strided_conv3d_backward_weight", &infer_strided_backward_weight));

  OpDef transposed = product("transposed_conv3d", &infer_transposed, {"scatter", &scatter_cpu<false>},
                             &scatter_work_bytes, {"implicit_gemm", &scatter_cuda<false>});
  transposed.gradient = &gradient_transposed;
  transposed.repeat = Repeat::to_save_memory;
  registry.add(std::move(transposed));
  registry.add(product("transposed_conv3d_backward_input", &infer_transposed_backward_input,
                       {"gather", &gather_cpu<true>}, &gather_work_bytes,
                       {"implicit_gemm", &gather_cuda<true>}));
  registry.add(weight_product<1>("transposed_conv3d_backward_weight", &infer_transposed_backward_weight));
}

}  // namespace sfr
