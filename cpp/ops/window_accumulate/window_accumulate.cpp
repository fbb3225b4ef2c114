#include "ops/window_accumulate/window_accumulate.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"
#include "ops/softmax/softmax.h"

namespace sfr {

namespace {

void expect_sums_and_counts(const InferContext& c) {
  c.expect_dtype(0, "sums", DType::f32);
  c.expect_rank(0, "sums", 4);
  const Shape& sums = c.input(0, "sums").shape;
  c.expect(sums[3] > 0, "sums", "at least one class", sums.text());
  c.expect_dtype(1, "counts", DType::f32);
  c.expect_shape(1, "counts", {sums[0], sums[1], sums[2]});
}

// ---- window_accumulate

/// (d, h, w) of the window, with or without a batch axis of one.
Shape window_of(const Shape& logits) {
  const int first = logits.rank() - 4;
  return {logits[first], logits[first + 1], logits[first + 2]};
}

void infer_accumulate(InferContext& c) {
  c.expect_inputs(5, 5);
  expect_sums_and_counts(c);
  const Shape& sums = c.input(0, "sums").shape;
  c.expect_dtype(2, "logits", DType::f32);
  const Shape& logits = c.input(2, "logits").shape;
  c.expect(logits.rank() == 4 || (logits.rank() == 5 && logits[0] == 1), "logits",
           "[d, h, w, K] or [1, d, h, w, K]", logits.text());
  const Shape window = window_of(logits);
  c.expect(logits.back() == sums[3] && window[0] <= sums[0] && window[1] <= sums[1] && window[2] <= sums[2],
           "logits", "a window of at most " + sums.text() + " with as many classes", logits.text());
  c.expect_dtype(3, "offset", DType::i32);
  c.expect_shape(3, "offset", {3});
  if (c.has(4)) {
    c.expect_dtype(4, "weights", DType::f32);
    c.expect_shape(4, "weights", window);
  }
  const int64_t mirror = c.attributes<WindowAccumulateAttributes>().mirror;
  c.expect(mirror >= 0 && mirror <= 7, "mirror", "0 to 7", std::to_string(mirror), ErrorCode::usage);
}

bool writes(const NodeTypes&, size_t input) {
  return input < 2;
}

/// Per thread: the probabilities of one row.
size_t accumulate_work_bytes(const NodeTypes& types, int threads) {
  const Shape& logits = types.input(2).shape;
  return static_cast<size_t>(threads * logits[logits.rank() - 2] * logits.back()) * sizeof(float);
}

void accumulate_cpu(const KernelContext& c) {
  const auto softmax = SFR_DISPATCH(softmax_rows);
  const auto add = SFR_DISPATCH(add_row);
  const auto count = SFR_DISPATCH(count_row);
  const auto add_weighted = SFR_DISPATCH(add_weighted_row);
  const Shape &volume = c.inputs[0].type.shape, window = window_of(c.inputs[2].type.shape);
  const int32_t* offset = c.in<int32_t>(3);
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t first = offset[2 - axis], room = volume[axis] - window[axis];
    if (first < 0 || first > room)
      throw Error(ErrorCode::data, "window_accumulate: expected 0 to " + std::to_string(room) +
                                       " for offset " + "xyz"[2 - axis] + ", received " +
                                       std::to_string(first));
  }
  const int64_t classes = volume[3], height = window[1], width = window[2], rows = window[0] * height;
  const int64_t mirror = c.as<WindowAccumulateAttributes>().mirror;
  const float* weights = c.has(4) ? c.in<float>(4) : nullptr;
  const int64_t chunks = chunk_count(rows, kElementGrain / (width * classes + 1) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    float* probabilities = static_cast<float*>(c.work) + thread * width * classes;
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t z = i / height, y = i % height;
      const int64_t voxel = ((offset[2] + z) * volume[1] + offset[1] + y) * volume[2] + offset[0];
      const int64_t from = (mirror & 4 ? window[0] - 1 - z : z) * height + (mirror & 2 ? height - 1 - y : y);
      float *sums = c.in<float>(0) + voxel * classes, *counts = c.in<float>(1) + voxel;
      softmax(c.in<float>(2) + from * width * classes, width, classes, probabilities);
      if (weights == nullptr && !(mirror & 1)) {
        add(probabilities, sums, width * classes);
        count(counts, width);
      } else {
        const float* row = weights == nullptr ? nullptr : weights + i * width;
        add_weighted(probabilities, row, mirror & 1, width, classes, sums, counts);
      }
    }
  });
}

WindowArgs kernel_args(const KernelContext& c) {
  const Shape& sums = c.inputs[0].type.shape;
  WindowArgs args{};
  args.sums = c.in<float>(0), args.counts = c.in<float>(1);
  for (int axis = 0; axis < 3; ++axis) args.sizes[axis] = sums[axis];
  args.classes = sums[3];
  return args;
}

void accumulate_cuda(const KernelContext& c) {
  const Shape window = window_of(c.inputs[2].type.shape);
  WindowArgs args = kernel_args(c);
  for (int axis = 0; axis < 3; ++axis) args.window[axis] = window[axis];
  args.logits = elements_of(c, 2), args.offset = c.in<int32_t>(3), args.weights = c.in<float>(4);
  args.mirror = c.as<WindowAccumulateAttributes>().mirror;
  args.fault = c.fault, args.node = c.node;
  launch(c, "window_accumulate", element_grid(window.count()), args);
}

std::string fault_text(const NodeTypes& t, int64_t axis) {
  const int a = static_cast<int>(axis);
  const int64_t room = t.input(0).shape[a] - window_of(t.input(2).shape)[a];
  return "window_accumulate: expected 0 to " + std::to_string(room) + " for offset " + "xyz"[2 - a] +
         ", received another";
}

// ---- window_mean

void infer_mean(InferContext& c) {
  c.expect_inputs(2, 2);
  expect_sums_and_counts(c);
  c.output(c.input(0, "sums"));
}

void mean_cpu(const KernelContext& c) {
  const auto divide = SFR_DISPATCH(divide_rows);
  const int64_t classes = c.inputs[0].type.shape[3], voxels = c.inputs[1].count();
  const int64_t chunks = chunk_count(voxels, kElementGrain / classes + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(voxels, chunk, chunks);
    divide(c.in<float>(0) + r.begin * classes, c.in<float>(1) + r.begin, r.end - r.begin, classes,
           c.out<float>(0) + r.begin * classes);
  });
}

void mean_cuda(const KernelContext& c) {
  WindowArgs args = kernel_args(c);
  args.mean = c.out<float>(0);
  launch(c, "window_mean", element_grid(c.outputs[0].count()), args);
}

}  // namespace

void register_window_accumulate(OpRegistry& registry) {
  OpDef accumulate = op_definition<WindowAccumulateAttributes>("window_accumulate");
  accumulate.infer = &infer_accumulate;
  accumulate.cpu = {{"rows", &accumulate_cpu}};
  accumulate.cuda = {{"voxels", &accumulate_cuda}};
  accumulate.bf16_inputs = kThird;
  accumulate.fault_text = &fault_text;
  accumulate.work_bytes = &accumulate_work_bytes;
  accumulate.writes = &writes;
  registry.add(std::move(accumulate));

  OpDef mean = op_definition<NoAttributes>("window_mean");
  mean.infer = &infer_mean;
  mean.cpu = {{"rows", &mean_cpu}};
  mean.cuda = {{"elements", &mean_cuda}};
  mean.in_place_inputs = {0};
  registry.add(std::move(mean));
}

}  // namespace sfr
