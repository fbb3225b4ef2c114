#include "ops/mix_cubes/mix_cubes.h"

#include <cstring>

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const auto& a = c.attributes<MixCubesAttributes>();
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 5);
  c.expect_dtype(1, "rng", DType::i32);
  c.expect_shape(1, "rng", Shape{3});
  c.expect(!a.stream.empty(), "stream", "a name", "an empty one", ErrorCode::usage);
  const Shape& x = c.input(0, "x").shape;
  const bool fits = a.side >= 1 && x[1] % a.side == 0 && x[2] % a.side == 0 && x[3] % a.side == 0;
  c.expect(fits, "side", "a divisor of the extents of " + x.text(), std::to_string(a.side));
  c.output(c.input(0, "x"));
}

void mix_cubes_cpu(const KernelContext& c) {
  const auto& a = c.as<MixCubesAttributes>();
  const int32_t* rng = c.in<int32_t>(1);
  const uint64_t seed = uint64_t{static_cast<uint32_t>(rng[1])} << 32 | static_cast<uint32_t>(rng[0]);
  const RandomKey key = {seed, static_cast<uint32_t>(rng[2]), stream_id(a.stream)};
  const Shape& s = c.inputs[0].type.shape;
  const int64_t samples = s[0], d = s[1], h = s[2], w = s[3], side = a.side, run = side * s[4];
  const int64_t rows = h / side, columns = w / side, cubes = d / side * rows * columns;
  const float* x = c.in<float>(0);
  float* y = c.out<float>(0);
  c.pool->parallel_for(cubes * samples, [&](int64_t i, int) {
    const int64_t p = i / samples, place = i % samples, sample = sample_at(key, p, samples, place);
    const int64_t from = a.undo ? place : sample, to = a.undo ? sample : place;
    const int64_t z = p / (rows * columns) * side, line = p / columns % rows * side, column = p % columns;
    for (int64_t dz = 0; dz < side; ++dz)
      for (int64_t dy = 0; dy < side; ++dy) {
        const auto at = [&](int64_t b) {
          return (((b * d + z + dz) * h + line + dy) * columns + column) * run;
        };
        std::memcpy(y + at(to), x + at(from), static_cast<size_t>(run) * sizeof(float));
      }
  });
}

void mix_cubes_cuda(const KernelContext& c) {
  const auto& a = c.as<MixCubesAttributes>();
  const Shape& s = c.inputs[0].type.shape;
  launch(c, "mix_cubes", element_grid(s.count()),
         MixCubesArgs{c.in<float>(0), c.in<int32_t>(1), c.out<float>(0), s[0], s[1], s[2], s[3], s[4], a.side,
                      stream_id(a.stream), a.undo});
}

void gradient(GradientContext& c) {
  MixCubesAttributes back = c.attributes<MixCubesAttributes>();
  back.undo = !back.undo;
  c.set(0, c.add("mix_cubes", {c.output_gradient(0), c.input(1)}, back)[0]);
}

}  // namespace

void register_mix_cubes(OpRegistry& registry) {
  OpDef op = op_definition<MixCubesAttributes>("mix_cubes");
  op.infer = &infer;
  op.gradient = &gradient;
  op.cpu = {{"rows", &mix_cubes_cpu}};
  op.cuda = {{"elements", &mix_cubes_cuda}};
  registry.add(std::move(op));
}

}  // namespace sfr
