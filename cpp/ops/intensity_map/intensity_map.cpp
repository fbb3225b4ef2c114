#include "ops/intensity_map/intensity_map.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

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

/// Per thread: the two tables, and one to merge into.
size_t work_bytes(const NodeTypes&, int threads) {
  return static_cast<size_t>(threads * 3 * kBezierSamples) * sizeof(double);
}

/// First sample at or behind parameter t.
int64_t sample_at(double t) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(t * (kBezierSamples - 1))), 0, kBezierSamples);
}

/// Where the curve turns: the roots of its derivative, a t^2 + b t + c (over 3), in (0, 1), ascending.
int turning_points(double p1, double p2, int64_t turns[2]) {
  const double a = 3 * p1 - 3 * p2 + 1, b = 2 * p2 - 4 * p1, c = p1;
  double roots[2];
  int count = 0;
  const double discriminant = b * b - 4 * a * c;
  if (discriminant < 0) return 0;
  // The form without cancellation; q is 0 only when b and the discriminant are.
  const double q = -0.5 * (b + std::copysign(std::sqrt(discriminant), b));
  if (a != 0) roots[count++] = q / a;
  if (q != 0) roots[count++] = c / q;
  if (count == 2 && roots[0] > roots[1]) std::swap(roots[0], roots[1]);
  int inside = 0;
  for (int i = 0; i < count; ++i)
    if (roots[i] > 0 && roots[i] < 1) turns[inside++] = sample_at(roots[i]);
  return inside;
}

/// Sorts samples made of at most three monotone runs that end at `turns`, in linear time, into `sorted`;
/// `table` is used up.
void sort_runs(double* table, const int64_t turns[2], int count, double* sorted) {
  int64_t bounds[4] = {0, kBezierSamples, kBezierSamples, kBezierSamples};
  for (int i = 0; i < count; ++i) bounds[i + 1] = turns[i];
  for (int i = 0; i <= count; ++i)
    if (bounds[i + 1] > bounds[i] && table[bounds[i]] > table[bounds[i + 1] - 1])
      std::reverse(table + bounds[i], table + bounds[i + 1]);
  if (count == 0) {
    std::memcpy(sorted, table, kBezierSamples * sizeof(double));
  } else {
    std::merge(table, table + bounds[1], table + bounds[1], table + bounds[2], sorted);
    if (count == 2) {
      std::memcpy(table, sorted, static_cast<size_t>(bounds[2]) * sizeof(double));
      std::merge(table, table + bounds[2], table + bounds[2], table + bounds[3], sorted);
    }
  }
  // Rounding leaves single samples near a turn out of order: each moves a few places at most.
  for (int64_t i = 1; i < kBezierSamples; ++i)
    for (int64_t j = i; j > 0 && sorted[j] < sorted[j - 1]; --j) std::swap(sorted[j], sorted[j - 1]);
}

void sorted_samples(double p1, double p2, double* sorted, double* scratch) {
  int64_t turns[2];
  const int count = turning_points(p1, p2, turns);
  SFR_DISPATCH(bezier_samples)(p1, p2, scratch, kBezierSamples);
  sort_runs(scratch, turns, count, sorted);
}

/// np.interp for one value.
float interpolate(double x, const double* xs, const double* ys) {
  if (!(x >= xs[0])) return static_cast<float>(std::isnan(x) ? x : ys[0]);
  if (x >= xs[kBezierSamples - 1]) return static_cast<float>(ys[kBezierSamples - 1]);
  const int64_t i = std::upper_bound(xs, xs + kBezierSamples, x) - xs - 1;
  const double slope = (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]);
  return static_cast<float>(slope * (x - xs[i]) + ys[i]);
}

/// A slice is one item of work: a table costs about as much as the look-ups of a 256 x 256 slice.
void intensity_map_cpu(const KernelContext& c) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t slices = shape[0], pixels = shape[1] * shape[2];
  const int64_t chunks = chunk_count(slices, 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    double* tables = static_cast<double*>(c.work) + thread * 3 * kBezierSamples;
    const Range r = chunk_range(slices, chunk, chunks);
    for (int64_t z = r.begin; z < r.end; ++z) {
      const float *x = c.in<float>(0) + z * pixels, *p = c.in<float>(1) + 4 * z;
      float* y = c.out<float>(0) + z * pixels;
      if (c.in<int32_t>(2)[z] == 0) {
        std::memcpy(y, x, static_cast<size_t>(pixels) * sizeof(float));
        continue;
      }
      double *xs = tables, *ys = tables + kBezierSamples, *scratch = tables + 2 * kBezierSamples;
      sorted_samples(p[0], p[2], xs, scratch);
      sorted_samples(p[1], p[3], ys, scratch);
      for (int64_t i = 0; i < pixels; ++i) y[i] = interpolate(x[i], xs, ys);
    }
  });
}

}  // namespace

void register_intensity_map(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("intensity_map");
  op.infer = &infer;
  op.cpu = {{"merged_tables", &intensity_map_cpu}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
