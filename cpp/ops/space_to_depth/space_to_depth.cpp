#include "ops/space_to_depth/space_to_depth.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"
#include "ops/elementwise/elementwise.h"

namespace sfr {

namespace {

const char* const kAxisNames[] = {"depth", "height", "width"};

void expect_block(const InferContext& c, const std::array<int64_t, 3>& block) {
  for (int i = 0; i < 3; ++i)
    c.expect(block[static_cast<size_t>(i)] >= 1, "block", "three integers >= 1",
             std::to_string(block[static_cast<size_t>(i)]) + " for " + kAxisNames[i], ErrorCode::usage);
}

void infer_space_to_depth(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 5);
  const Shape& x = c.input(0, "x").shape;
  const auto& block = c.attributes<BlockAttributes>().block;
  expect_block(c, block);
  Shape y = x;
  int64_t voxels = 1;
  for (int i = 0; i < 3; ++i) {
    const int64_t b = block[static_cast<size_t>(i)];
    c.expect(x[i + 1] % b == 0, "x", "a " + std::string(kAxisNames[i]) + " divisible by " + std::to_string(b),
             x.text());
    y.set(i + 1, x[i + 1] / b);
    voxels *= b;
  }
  y.set(4, x[4] * voxels);
  c.output({DType::f32, y});
}

void infer_depth_to_space(InferContext& c) {
  c.expect_inputs(1, 2);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 5);
  const Shape& x = c.input(0, "x").shape;
  const auto& block = c.attributes<BlockAttributes>().block;
  expect_block(c, block);
  const int64_t voxels = block[0] * block[1] * block[2];
  c.expect(x[4] % voxels == 0, "x", "channels divisible by " + std::to_string(voxels), x.text());
  const Shape y{x[0], x[1] * block[0], x[2] * block[1], x[3] * block[2], x[4] / voxels};
  if (c.has(1)) {
    c.expect_dtype(1, "bias", DType::f32);
    c.expect_shape(1, "bias", Shape{y[4]});
  }
  c.output({DType::f32, y});
}

bool in_whole_lines(const TensorView& y, int64_t run) {
  return run % 16 == 0 && worth_streaming(y.data, y.type.bytes());
}

/// Walks the rows of blocks: calls piece(fine, coarse) with the offset of the first of bw * C floats of the
/// fine volume and their offset in the coarse one, for each (z, y) within the block; the walk along x is the
/// caller's.
template <class F>
void over_block_rows(ThreadPool& pool, const Shape& coarse, const std::array<int64_t, 3>& block, F piece) {
  const int64_t rows = coarse[0] * coarse[1] * coarse[2], voxel = coarse[4], row = coarse[3] * voxel;
  const int64_t run = voxel / (block[0] * block[1]), fine_row = coarse[3] * run;
  const int64_t chunks = chunk_count(rows, kElementGrain / std::max<int64_t>(row, 1) + 1);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t slice = i / coarse[2], line = i % coarse[2];  // slice counts n * D + z
      for (int64_t z = 0; z < block[0]; ++z)
        for (int64_t y = 0; y < block[1]; ++y) {
          const int64_t fine_line = ((slice * block[0] + z) * coarse[2] + line) * block[1] + y;
          piece(fine_line * fine_row, i * row + (z * block[1] + y) * run);
        }
    }
  });
}

void space_to_depth_cpu(const KernelContext& c) {
  const auto copy = SFR_DISPATCH(copy_runs);
  const Shape& coarse = c.outputs[0].type.shape;
  const auto& block = c.as<BlockAttributes>().block;
  const int64_t run = coarse[4] / (block[0] * block[1]);
  const bool streamed = in_whole_lines(c.outputs[0], run);
  over_block_rows(*c.pool, coarse, block, [&](int64_t fine, int64_t at) {
    copy(c.in<float>(0) + fine, run, c.out<float>(0) + at, coarse[4], run, coarse[3], nullptr, streamed);
  });
}

size_t depth_to_space_work_bytes(const NodeTypes& t, int) {
  const int64_t width = t.as<BlockAttributes>().block[2];
  return t.has(1) ? static_cast<size_t>(width * t.outputs[0].shape[4]) * sizeof(float) : 0;
}

void depth_to_space_cpu(const KernelContext& c) {
  const auto copy = SFR_DISPATCH(copy_runs);
  const Shape& coarse = c.inputs[0].type.shape;
  const auto& block = c.as<BlockAttributes>().block;
  const int64_t run = coarse[4] / (block[0] * block[1]), channels = c.outputs[0].type.shape[4];
  const bool streamed = in_whole_lines(c.outputs[0], run);
  float* repeated = c.has(1) ? static_cast<float*>(c.work) : nullptr;
  for (int64_t i = 0; repeated != nullptr && i < run; ++i) repeated[i] = c.in<float>(1)[i % channels];
  over_block_rows(*c.pool, coarse, block, [&](int64_t fine, int64_t at) {
    copy(c.in<float>(0) + at, coarse[4], c.out<float>(0) + fine, run, run, coarse[3], repeated, streamed);
  });
}

BlockArgs block_args(const KernelContext& c, const Shape& coarse, int64_t channels) {
  const auto& block = c.as<BlockAttributes>().block;
  return {elements_of(c, 0),
          c.in<float>(1),
          results_of(c, 0),
          c.outputs[0].count(),
          coarse[2],
          coarse[3],
          channels,
          static_cast<int32_t>(block[0]),
          static_cast<int32_t>(block[1]),
          static_cast<int32_t>(block[2])};
}

void space_to_depth_cuda(const KernelContext& c) {
  const BlockArgs args = block_args(c, c.outputs[0].type.shape, c.inputs[0].type.shape[4]);
  launch(c, "space_to_depth", element_grid(args.count), args);
}

void depth_to_space_cuda(const KernelContext& c) {
  const BlockArgs args = block_args(c, c.inputs[0].type.shape, c.outputs[0].type.shape[4]);
  launch(c, "depth_to_space", element_grid(args.count), args);
}

void gradient_space_to_depth(GradientContext& c) {
  c.set(0, c.add("depth_to_space", {c.output_gradient(0)}, c.attributes<BlockAttributes>())[0]);
}

void gradient_depth_to_space(GradientContext& c) {
  if (c.wants(0))
    c.set(0, c.add("space_to_depth", {c.output_gradient(0)}, c.attributes<BlockAttributes>())[0]);
  if (c.wants(1))
    c.set(1, c.add("sum_to", {c.output_gradient(0)},
                   TargetShapeAttributes{c.type(c.input(1)).shape.extents()})[0]);
}

}  // namespace

void register_space_to_depth(OpRegistry& registry) {
  OpDef op = op_definition<BlockAttributes>("space_to_depth");
  op.infer = &infer_space_to_depth;
  op.gradient = &gradient_space_to_depth;
  op.cpu = {{"runs", &space_to_depth_cpu}};
  op.cuda = {{"elements", &space_to_depth_cuda}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.repeat = Repeat::always;
  registry.add(std::move(op));

  OpDef inverse = op_definition<BlockAttributes>("depth_to_space");
  inverse.infer = &infer_depth_to_space;
  inverse.gradient = &gradient_depth_to_space;
  inverse.cpu = {{"runs", &depth_to_space_cpu}};
  inverse.cuda = {{"elements", &depth_to_space_cuda}};
  inverse.bf16_inputs = inverse.bf16_outputs = kFirst;
  inverse.work_bytes = &depth_to_space_work_bytes;
  registry.add(std::move(inverse));
}

}  // namespace sfr
