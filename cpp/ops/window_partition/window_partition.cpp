#include "ops/window_partition/window_partition.h"

#include <cstring>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

/// An image [batch, height, width, channels] and its tiles.
struct Tiling {
  int64_t batch, height, width, channels, window;
  int64_t rows() const { return (height + window - 1) / window; }
  int64_t columns() const { return (width + window - 1) / window; }
  Shape windows() const { return {batch * rows() * columns(), window * window, channels}; }
};

Tiling tiling(const Shape& image, int64_t window) {
  return {image[0], image[1], image[2], image[3], window};
}

void infer_partition(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 4);
  const int64_t window = c.attributes<WindowPartitionAttributes>().window;
  c.expect(window >= 1, "window", "at least 1", std::to_string(window), ErrorCode::usage);
  c.output({DType::f32, tiling(c.input(0, "x").shape, window).windows()});
}

void infer_merge(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.expect_rank(0, "x", 3);
  const auto& a = c.attributes<WindowMergeAttributes>();
  c.expect(a.window >= 1, "window", "at least 1", std::to_string(a.window), ErrorCode::usage);
  c.expect(a.size[0] >= 1 && a.size[1] >= 1, "size", "[H, W] of at least 1",
           "[" + std::to_string(a.size[0]) + ", " + std::to_string(a.size[1]) + "]", ErrorCode::usage);
  const Shape& x = c.input(0, "x").shape;
  const Tiling t = {1, a.size[0], a.size[1], x[2], a.window};
  const int64_t per_image = t.rows() * t.columns();
  c.expect(x[0] % per_image == 0 && x[1] == a.window * a.window, "x",
           "a multiple of " + std::to_string(per_image) + " windows of " +
               std::to_string(a.window * a.window) + " tokens",
           x.text());
  c.output({DType::f32, Shape{x[0] / per_image, a.size[0], a.size[1], x[2]}});
}

/// Copies each row of each window from or to the image; padding is written as zeros when partitioning.
void copy_windows(const KernelContext& c, const Tiling& t, const float* image, float* merged,
                  float* windows) {
  const int64_t window_rows = t.batch * t.rows() * t.columns() * t.window;
  const int64_t row_floats = t.window * t.channels,
                chunks = chunk_count(window_rows * row_floats, kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(window_rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t tile = i / t.window, row = tile / t.columns();
      const int64_t y = row % t.rows() * t.window + i % t.window, x = tile % t.columns() * t.window;
      const int64_t inside = y < t.height ? std::min(t.window, t.width - x) * t.channels : 0;
      const int64_t at = ((row / t.rows() * t.height + y) * t.width + x) * t.channels;
      const size_t bytes = static_cast<size_t>(inside) * sizeof(float);
      float* window = windows + i * row_floats;
      if (merged) {
        if (inside > 0) std::memcpy(merged + at, window, bytes);
        continue;
      }
      if (inside > 0) std::memcpy(window, image + at, bytes);
      std::memset(window + inside, 0, static_cast<size_t>(row_floats - inside) * sizeof(float));
    }
  });
}

void partition_cpu(const KernelContext& c) {
  copy_windows(c, tiling(c.inputs[0].type.shape, c.as<WindowPartitionAttributes>().window), c.in<float>(0),
               nullptr, c.out<float>(0));
}

void merge_cpu(const KernelContext& c) {
  copy_windows(c, tiling(c.outputs[0].type.shape, c.as<WindowMergeAttributes>().window), nullptr,
               c.out<float>(0), c.in<float>(0));
}

void gradient_partition(GradientContext& c) {
  const Shape& x = c.type(c.input(0)).shape;
  c.set(0, c.add("window_merge", {c.output_gradient(0)},
                 WindowMergeAttributes{c.attributes<WindowPartitionAttributes>().window, {x[1], x[2]}})[0]);
}

void gradient_merge(GradientContext& c) {
  c.set(0, c.add("window_partition", {c.output_gradient(0)},
                 WindowPartitionAttributes{c.attributes<WindowMergeAttributes>().window})[0]);
}

}  // namespace

void register_window_partition(OpRegistry& registry) {
  OpDef partition = op_definition<WindowPartitionAttributes>("window_partition");
  partition.infer = &infer_partition;
  partition.gradient = &gradient_partition;
  partition.cpu = {{"copy_rows", &partition_cpu}};
  registry.add(std::move(partition));

  OpDef merge = op_definition<WindowMergeAttributes>("window_merge");
  merge.infer = &infer_merge;
  merge.gradient = &gradient_merge;
  merge.cpu = {{"copy_rows", &merge_cpu}};
  registry.add(std::move(merge));
}

}  // namespace sfr
