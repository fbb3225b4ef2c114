#include "ops/segmentation_loss/segmentation_loss.h"

#include "core/chunks.h"
#include "graph/graph.h"
#include "ops/segmentation_loss/resized_loss.h"

namespace sfr {

namespace {

int64_t loss_chunks(const Shape& logits) {
  return chunk_count(logits.count() / std::max<int64_t>(logits.back(), 1), kElementGrain / logits.back() + 1);
}

void infer_logits_and_labels(InferContext& c) {
  c.expect_dtype(0, "logits", DType::f32);
  c.expect_dtype(1, "labels", DType::u8);
  const Shape& logits = c.input(0, "logits").shape;
  c.expect(logits.rank() >= 1 && logits.back() >= 1 && logits.back() <= kMaxClasses, "logits",
           "a last axis of 1 to 254 classes", logits.text());
  if (!is_resized(logits, c.input(1, "labels").shape)) {
    std::vector<int64_t> positions = logits.extents();
    positions.pop_back();
    c.expect_shape(1, "labels", Shape(positions));
  }
  const double smooth = c.attributes<SegmentationLossAttributes>().smooth;
  c.expect(smooth > 0, "smooth", "a number above 0", std::to_string(smooth), ErrorCode::usage);
}

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  infer_logits_and_labels(c);
  c.output({DType::f32, Shape{}});
  c.output({DType::f32, Shape{}});
  c.output({DType::f64, Shape{c.input(0, "logits").shape.back(), 3}});
}

/// Per chunk: 3 K + 1 sums and the position of the first bad label.
size_t work_bytes(const NodeTypes& t, int threads) {
  const Shape &logits = t.input(0).shape, &labels = t.input(1).shape;
  if (is_resized(logits, labels)) return resized_loss_work_bytes(logits, labels, threads);
  return static_cast<size_t>(loss_chunks(logits) * (3 * logits.back() + 2)) * sizeof(double);
}

[[noreturn]] void refuse_label(const uint8_t* labels, int64_t position, int64_t classes) {
  throw Error(ErrorCode::data, "segmentation_loss: expected a class below " + std::to_string(classes) +
                                   " or 255 (ignored) for labels, received " +
                                   std::to_string(labels[position]) + " at index " +
                                   std::to_string(position) +
                                   "; map the labels to 0 .. K - 1 or build the model with more classes");
}

/// Sums of the chunks, by positions.
LossSums sum_positions(const KernelContext& c) {
  const auto rows = SFR_DISPATCH(segmentation_loss_rows);
  const float* logits = c.in<float>(0);
  const uint8_t* labels = c.in<uint8_t>(1);
  const int64_t classes = c.inputs[0].type.shape.back(), count = c.inputs[1].count();
  const int64_t chunks = loss_chunks(c.inputs[0].type.shape), pitch = 3 * classes + 1;
  auto* partial = static_cast<double*>(c.work);
  auto* bad = reinterpret_cast<int64_t*>(partial + chunks * pitch);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    const int64_t at =
        rows(logits + r.begin * classes, labels + r.begin, r.end - r.begin, classes, partial + chunk * pitch);
    bad[chunk] = at < 0 ? -1 : r.begin + at;
  });
  return {partial, bad, chunks};
}

void loss_cpu(const KernelContext& c) {
  const int64_t classes = c.inputs[0].type.shape.back(), pitch = 3 * classes + 1;
  const LossSums parts =
      is_resized(c.inputs[0].type.shape, c.inputs[1].type.shape) ? sum_resized_rows(c) : sum_positions(c);
  for (int64_t chunk = 0; chunk < parts.chunks; ++chunk)
    if (parts.bad[chunk] >= 0) refuse_label(c.in<uint8_t>(1), parts.bad[chunk], classes);
  double* sums = c.out<double>(2);
  double entropy = 0, valid = 0, dice = 0;
  for (int64_t chunk = 0; chunk < parts.chunks; ++chunk) entropy += parts.sums[chunk * pitch + 3 * classes];
  for (int64_t i = 0; i < 3 * classes; ++i) {
    sums[i] = 0;
    for (int64_t chunk = 0; chunk < parts.chunks; ++chunk) sums[i] += parts.sums[chunk * pitch + i];
  }
  const double smooth = c.as<SegmentationLossAttributes>().smooth;
  for (int64_t k = 0; k < classes; ++k) {
    valid += sums[3 * k + 2];
    dice += 1 - (2 * sums[3 * k] + smooth) / (sums[3 * k + 1] + sums[3 * k + 2] + smooth);
  }
  c.out<float>(0)[0] = valid > 0 ? static_cast<float>(entropy / valid) : 0.0f;
  c.out<float>(1)[0] = static_cast<float>(dice / static_cast<double>(classes));
}

void gradient(GradientContext& c) {
  if (!c.wants(0)) return;
  const bool resized = is_resized(c.type(c.input(0)).shape, c.type(c.input(1)).shape);
  c.set(0, c.add(resized ? "resized_segmentation_loss_backward" : "segmentation_loss_backward",
                 {c.input(0), c.input(1), c.output(2), c.output_gradient(0), c.output_gradient(1)},
                 c.attributes<SegmentationLossAttributes>())[0]);
}

void infer_backward(InferContext& c) {
  c.expect_inputs(3, 5);
  infer_logits_and_labels(c);
  c.expect_dtype(2, "sums", DType::f64);
  c.expect_shape(2, "sums", Shape{c.input(0, "logits").shape.back(), 3});
  if (c.has(3)) c.expect_shape(3, "d cross_entropy", Shape{});
  if (c.has(4)) c.expect_shape(4, "d dice", Shape{});
  c.output(c.input(0, "logits"));
}

LossFactors factors_of(const KernelContext& c) {
  const int64_t classes = c.inputs[0].type.shape.back();
  const double* sums = c.in<double>(2);
  const double smooth = c.as<SegmentationLossAttributes>().smooth;
  const double dice = c.has(4) ? c.in<float>(4)[0] / static_cast<double>(classes) : 0.0;
  LossFactors f;
  double valid = 0;
  for (int64_t k = 0; k < classes; ++k) {
    const double total = sums[3 * k + 1] + sums[3 * k + 2] + smooth;
    f.label[k] = static_cast<float>(-2 * dice / total);
    f.square[k] = static_cast<float>(2 * dice * (2 * sums[3 * k] + smooth) / (total * total));
    valid += sums[3 * k + 2];
  }
  f.entropy = c.has(3) && valid > 0 ? static_cast<float>(c.in<float>(3)[0] / valid) : 0.0f;
  return f;
}

void backward_cpu(const KernelContext& c) {
  const auto rows = SFR_DISPATCH(segmentation_loss_backward_rows);
  const int64_t classes = c.inputs[0].type.shape.back(), count = c.inputs[1].count();
  const LossFactors f = factors_of(c);
  const int64_t chunks = loss_chunks(c.inputs[0].type.shape);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    rows(c.in<float>(0) + r.begin * classes, c.in<uint8_t>(1) + r.begin, r.end - r.begin, classes, f.entropy,
         f.label, f.square, c.out<float>(0) + r.begin * classes);
  });
}

void resized_backward_cpu(const KernelContext& c) {
  resized_loss_backward(c, factors_of(c));
}

size_t resized_backward_work_bytes(const NodeTypes& t, int threads) {
  return resized_loss_backward_work_bytes(t.input(0).shape, t.input(1).shape, threads);
}

std::string fault_text(const NodeTypes& t, int64_t position) {
  return "segmentation_loss: expected a class below " + std::to_string(t.input(0).shape.back()) +
         " or 255 (ignored) for labels, received another at index " + std::to_string(position) +
         "; map the labels to 0 .. K - 1 or build the model with more classes";
}

}  // namespace

void register_segmentation_loss(OpRegistry& registry) {
  OpDef loss = op_definition<SegmentationLossAttributes>("segmentation_loss");
  loss.infer = &infer;
  loss.gradient = &gradient;
  loss.cpu = {{"one_pass", &loss_cpu}};
  loss.work_bytes = &work_bytes;
  loss.cuda = {{"by_positions", &segmentation_loss_cuda}};
  loss.bf16_inputs = kFirst;
  loss.cuda_work_bytes = &segmentation_loss_cuda_work_bytes;
  loss.fault_text = &fault_text;
  registry.add(std::move(loss));

  OpDef backward = op_definition<SegmentationLossAttributes>("segmentation_loss_backward");
  backward.infer = &infer_backward;
  backward.cpu = {{"one_pass", &backward_cpu}};
  backward.cuda = {{"by_positions", &segmentation_loss_backward_cuda}};
  backward.bf16_inputs = backward.bf16_outputs = kFirst;
  backward.cuda_work_bytes = &segmentation_loss_backward_cuda_work_bytes;
  backward.in_place_inputs = {0};
  registry.add(std::move(backward));

  // Not in place: the gradient of a row of logits needs its neighbours.
  OpDef resized = op_definition<SegmentationLossAttributes>("resized_segmentation_loss_backward");
  resized.infer = &infer_backward;
  resized.cpu = {{"row_by_row", &resized_backward_cpu}};
  resized.work_bytes = &resized_backward_work_bytes;
  resized.cuda = {{"by_positions", &segmentation_loss_backward_cuda}};
  resized.bf16_inputs = resized.bf16_outputs = kFirst;
  resized.cuda_work_bytes = &segmentation_loss_backward_cuda_work_bytes;
  registry.add(std::move(resized));
}

}  // namespace sfr
