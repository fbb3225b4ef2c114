#include "ops/intensity_map/intensity_map.h"

#include <cstring>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(3, 3);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 3);
  const int64_t slices = c.input(0, "x").shape[0];
  c.expect_dtype(1, "points", DType::f32);
  c.expect_shape(1, "points", {slices, 4});
  c.expect_dtype(2, "apply", DType::i32);
  c.expect_shape(2, "apply", {slices});
  c.output(c.input(0, "x"));
}

void expect_points(const float* points, int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    if (!(points[i] >= 0 && points[i] <= 1))
      throw Error(ErrorCode::data, "intensity_map: expected control points from 0 to 1, received " +
                                       std::to_string(points[i]) + " for slice " + std::to_string(i / 4));
}

void intensity_map_cpu(const KernelContext& c) {
  const auto starts = SFR_DISPATCH(bezier_starts);
  const auto map = SFR_DISPATCH(bezier_map);
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t slices = shape[0], pixels = shape[1] * shape[2];
  expect_points(c.in<float>(1), 4 * slices);
  const int64_t chunks = chunk_count(slices, 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(slices, chunk, chunks);
    for (int64_t z = r.begin; z < r.end; ++z) {
      const float *x = c.in<float>(0) + z * pixels, *p = c.in<float>(1) + 4 * z;
      float* y = c.out<float>(0) + z * pixels;
      if (c.in<int32_t>(2)[z] == 0) {
        std::memcpy(y, x, static_cast<size_t>(pixels) * sizeof(float));
        continue;
      }
      BezierCurve curve{p[0], p[1], p[2], p[3], {}};
      starts(&curve);
      map(&curve, x, pixels, y);
    }
  });
}

}  // namespace

void register_intensity_map(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("intensity_map");
  op.infer = &infer;
  op.cpu = {{"solve", &intensity_map_cpu}};
  registry.add(std::move(op));
}

}  // namespace sfr
