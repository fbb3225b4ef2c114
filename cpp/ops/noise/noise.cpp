#include "ops/noise/noise.h"

#include <limits>

#include "core/chunks.h"
#include "core/rng.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

/// What both kinds have in common.
template <class A>
void infer_noise(InferContext& c) {
  const auto& a = c.attributes<A>();
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "rng", DType::i32);
  c.expect_shape(0, "rng", Shape{3});
  c.expect(!a.stream.empty(), "stream", "a name", "an empty one", ErrorCode::usage);
  c.expect(a.scale >= 0, "scale", "a number >= 0", std::to_string(a.scale), ErrorCode::usage);
  c.output({DType::f32, Shape(a.shape)});
}

void infer_gaussian(InferContext& c) {
  const double limit = c.attributes<GaussianNoiseAttributes>().limit;
  c.expect(limit >= 0, "limit", "a number >= 0", std::to_string(limit), ErrorCode::usage);
  infer_noise<GaussianNoiseAttributes>(c);
}

/// Calls row(part) for pieces of the output that start at whole groups.
template <class F>
void over_stream(const KernelContext& c, const std::string& stream, F row) {
  const int32_t* rng = c.in<int32_t>(0);
  const int64_t count = c.outputs[0].count(), groups = (count + kNoiseGroup - 1) / kNoiseGroup;
  const int64_t chunks = chunk_count(groups, kElementGrain / kNoiseGroup);
  const uint32_t id = stream_id(stream);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(groups, chunk, chunks);
    const int64_t first = r.begin * kNoiseGroup, end = std::min(r.end * kNoiseGroup, count);
    row(NoiseRow{static_cast<uint32_t>(rng[0]), static_cast<uint32_t>(rng[1]), static_cast<uint32_t>(rng[2]),
                 id, first, end - first, c.out<float>(0) + first});
  });
}

float limit_of(const GaussianNoiseAttributes& a) {
  return a.limit > 0 ? static_cast<float>(a.limit) : std::numeric_limits<float>::infinity();
}

void gaussian_cpu(const KernelContext& c) {
  const auto& a = c.as<GaussianNoiseAttributes>();
  const auto fill = SFR_DISPATCH(gaussian_noise_row);
  over_stream(c, a.stream, [&](const NoiseRow& row) { fill(row, static_cast<float>(a.scale), limit_of(a)); });
}

void gaussian_cuda(const KernelContext& c) {
  const auto& a = c.as<GaussianNoiseAttributes>();
  const int64_t count = c.outputs[0].count();
  launch(c, "gaussian_noise", element_grid(count),
         NoiseArgs{c.in<int32_t>(0), c.out<float>(0), count, stream_id(a.stream), static_cast<float>(a.scale),
                   limit_of(a)});
}

void uniform_cpu(const KernelContext& c) {
  const auto& a = c.as<UniformNoiseAttributes>();
  const auto fill = SFR_DISPATCH(uniform_noise_row);
  over_stream(c, a.stream, [&](const NoiseRow& row) { fill(row, static_cast<float>(a.scale)); });
}

void uniform_cuda(const KernelContext& c) {
  const auto& a = c.as<UniformNoiseAttributes>();
  const int64_t count = c.outputs[0].count();
  launch(c, "uniform_noise", element_grid(count),
         NoiseArgs{c.in<int32_t>(0), c.out<float>(0), count, stream_id(a.stream), static_cast<float>(a.scale),
                   0});
}

}  // namespace

void register_noise(OpRegistry& registry) {
  OpDef gaussian = op_definition<GaussianNoiseAttributes>("gaussian_noise");
  gaussian.infer = &infer_gaussian;
  gaussian.cpu = {{"philox_groups", &gaussian_cpu}};
  gaussian.cuda = {{"elements", &gaussian_cuda}};
  registry.add(std::move(gaussian));

  OpDef uniform = op_definition<UniformNoiseAttributes>("uniform_noise");
  uniform.infer = &infer_noise<UniformNoiseAttributes>;
  uniform.cpu = {{"philox_groups", &uniform_cpu}};
  uniform.cuda = {{"elements", &uniform_cuda}};
  registry.add(std::move(uniform));
}

}  // namespace sfr
