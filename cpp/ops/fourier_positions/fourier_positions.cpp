// fourier_positions: random-Fourier encoding of the cells of a grid (Tancik et al. 2020; SAM's
// PositionEmbeddingRandom).
//   matrix [2, F] (rows x, y), attribute size [H, W] -> [H, W, 2F]
//   cell centre c in [0, 1]: angle = 2 pi ((2 cx - 1) matrix[0] + (2 cy - 1) matrix[1]); y = (sin angle, cos
//   angle) The matrix is a constant of the network: no gradient.
#include "ops/fourier_positions/fourier_positions.h"

#include <cmath>

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "matrix", DType::f32);
  c.expect_rank(0, "matrix", 2);
  const Shape& matrix = c.input(0, "matrix").shape;
  c.expect(matrix[0] == 2, "matrix", "two rows", matrix.text());
  const auto& a = c.attributes<FourierPositionsAttributes>();
  c.output({DType::f32, Shape{a.size[0], a.size[1], 2 * matrix[1]}});
}

void run(const KernelContext& c) {
  const auto& a = c.as<FourierPositionsAttributes>();
  const int64_t height = a.size[0], width = a.size[1], features = c.inputs[0].type.shape[1];
  const float* matrix = c.in<float>(0);
  const int64_t chunks = chunk_count(height, 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range rows = chunk_range(height, chunk, chunks);
    for (int64_t y = rows.begin; y < rows.end; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const double cx = 2 * ((static_cast<double>(x) + 0.5) / static_cast<double>(width)) - 1;
        const double cy = 2 * ((static_cast<double>(y) + 0.5) / static_cast<double>(height)) - 1;
        float* out = c.out<float>(0) + (y * width + x) * 2 * features;
        for (int64_t f = 0; f < features; ++f) {
          const double angle = 6.283185307179586 * (cx * matrix[f] + cy * matrix[features + f]);
          out[f] = static_cast<float>(std::sin(angle));
          out[features + f] = static_cast<float>(std::cos(angle));
        }
      }
  });
}

void run_cuda(const KernelContext& c) {
  const Shape& y = c.outputs[0].type.shape;
  const int64_t features = c.inputs[0].type.shape[1];
  launch(c, "fourier_positions", element_grid(y[0] * y[1] * features),
         FourierPositionsArgs{c.in<float>(0), c.out<float>(0), y[0], y[1], features});
}

}  // namespace

void register_fourier_positions(OpRegistry& registry) {
  OpDef op = op_definition<FourierPositionsAttributes>("fourier_positions");
  op.infer = &infer;
  op.cpu = {{"double", &run}};
  op.cuda = {{"double", &run_cuda}};
  registry.add(std::move(op));
}

}  // namespace sfr
