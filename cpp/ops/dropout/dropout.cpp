#include "ops/dropout/dropout.h"

#include <algorithm>
#include <cmath>

#include "core/chunks.h"
#include "core/rng.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const auto& a = c.attributes<DropoutAttributes>();
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_dtype(1, "rng", DType::i32);
  c.expect_shape(1, "rng", Shape{3});
  c.expect(a.rate >= 0 && a.rate < 1, "rate", "a number in [0, 1)", std::to_string(a.rate), ErrorCode::usage);
  c.expect(!a.stream.empty(), "stream", "a name", "an empty one", ErrorCode::usage);
  c.expect(!a.channels || c.input(0, "x").shape.rank() >= 2, "x", "the axes N and C", c.input(0, "x").text());
  c.output(c.input(0, "x"));
}

/// u >= rate, in whole steps of u.
uint32_t threshold_of(const DropoutAttributes& a) {
  return static_cast<uint32_t>(std::ceil(a.rate * 0x1p24));
}

float factor_of(const DropoutAttributes& a) {
  return static_cast<float>(1.0 / (1.0 - a.rate));
}

DropoutRow stream_start(const KernelContext& c) {
  const auto& a = c.as<DropoutAttributes>();
  const int32_t* rng = c.in<int32_t>(1);
  DropoutRow row{};
  row.seed_low = static_cast<uint32_t>(rng[0]);
  row.seed_high = static_cast<uint32_t>(rng[1]);
  row.step = static_cast<uint32_t>(rng[2]);
  row.stream = stream_id(a.stream);
  row.threshold = threshold_of(a);
  row.factor = factor_of(a);
  return row;
}

void drop_elements(const KernelContext& c) {
  const auto run = SFR_DISPATCH(dropout_row);
  const DropoutRow start = stream_start(c);
  const int64_t count = c.outputs[0].count(), groups = (count + kDropoutGroup - 1) / kDropoutGroup;
  const int64_t chunks = chunk_count(groups, kElementGrain / kDropoutGroup);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(groups, chunk, chunks);
    DropoutRow row = start;
    row.first = r.begin * kDropoutGroup;
    row.count = std::min(r.end * kDropoutGroup, count) - row.first;
    run(row, c.in<float>(0) + row.first, c.out<float>(0) + row.first);
  });
}

int64_t factor_count(const Shape& x) {
  return x[0] * x.back();
}

void drop_whole_channels(const KernelContext& c) {
  const auto draw = SFR_DISPATCH(dropout_factors);
  const auto run = SFR_DISPATCH(drop_channels);
  const Shape& x = c.inputs[0].type.shape;
  auto* factors = static_cast<float*>(c.work);
  DropoutRow row = stream_start(c);
  row.count = factor_count(x);
  draw(row, factors);
  const int64_t channels = x.back(), rows = x.count(1, x.rank() - 1);
  const int64_t pieces = chunk_count(rows, kElementGrain / std::max<int64_t>(channels, 1) + 1);
  c.pool->parallel_for(x[0] * pieces, [&](int64_t chunk, int) {
    const int64_t n = chunk / pieces;
    const Range r = chunk_range(rows, chunk % pieces, pieces);
    const int64_t first = (n * rows + r.begin) * channels;
    run(c.in<float>(0) + first, c.out<float>(0) + first, r.end - r.begin, channels, factors + n * channels);
  });
}

void dropout_cpu(const KernelContext& c) {
  if (c.as<DropoutAttributes>().channels)
    drop_whole_channels(c);
  else
    drop_elements(c);
}

size_t work_bytes(const NodeTypes& t, int) {
  if (!t.as<DropoutAttributes>().channels) return 0;
  const int64_t groups = (factor_count(t.input(0).shape) + kDropoutGroup - 1) / kDropoutGroup;
  return static_cast<size_t>(groups * kDropoutGroup) * sizeof(float);
}

void dropout_cuda(const KernelContext& c) {
  const auto& a = c.as<DropoutAttributes>();
  const Shape& x = c.inputs[0].type.shape;
  const int64_t count = x.count();
  launch(c, "dropout", element_grid(count),
         DropoutArgs{elements_of(c, 0), c.in<int32_t>(1), results_of(c, 0), count, a.channels ? x.back() : 0,
                     a.channels ? count / std::max<int64_t>(x[0], 1) : 0, stream_id(a.stream),
                     threshold_of(a), factor_of(a)});
}

void gradient(GradientContext& c) {
  c.set(0, c.add("dropout", {c.output_gradient(0), c.input(1)}, c.attributes<DropoutAttributes>())[0]);
}

}  // namespace

void register_dropout(OpRegistry& registry) {
  OpDef op = op_definition<DropoutAttributes>("dropout");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"philox_groups", &dropout_cpu}};
  op.cuda = {{"elements", &dropout_cuda}};
  op.bf16_inputs = op.bf16_outputs = kFirst;
  op.work_bytes = &work_bytes;
  op.in_place_inputs = {0};
  op.repeat = Repeat::always;
  registry.add(std::move(op));
}

}  // namespace sfr
