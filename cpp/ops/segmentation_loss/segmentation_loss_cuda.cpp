#include "cuda/column_grid.h"
#include "ops/resize_bilinear/resize_bilinear.h"
#include "ops/segmentation_loss/resized_loss.h"

namespace sfr {

namespace {

SegmentationLossArgs kernel_args(const KernelContext& c) {
  SegmentationLossArgs args{};
  args.logits = elements_of(c, 0), args.labels = c.in<uint8_t>(1);
  args.positions = c.inputs[1].count(), args.classes = c.inputs[0].type.shape.back();
  args.smooth = c.as<SegmentationLossAttributes>().smooth;
  return args;
}

bool is_resized(const KernelContext& c) {
  return is_resized(c.inputs[0].type.shape, c.inputs[1].type.shape);
}

Resize resize_of(const KernelContext& c) {
  const Shape &logits = c.inputs[0].type.shape, &labels = c.inputs[1].type.shape;
  return {logits[0], logits[1], logits[2], labels[1], labels[2], logits[3]};
}

/// Bytes of the logits on the labels' grid, where they are not there already.
size_t resized_bytes(const Shape& logits, const Shape& labels) {
  if (!is_resized(logits, labels)) return 0;
  return (static_cast<size_t>(labels.count() * logits.back()) * sizeof(float) + 63) / 64 * 64;
}

/// Resizes into work memory where that is needed; returns what is behind.
char* resize_logits(const KernelContext& c, SegmentationLossArgs& args) {
  if (is_resized(c)) {
    const Results resized{c.work};
    launch_resize(c, {resize_of(c), args.logits, resized});
    args.logits = resized.elements();
  }
  return static_cast<char*>(c.work) + resized_bytes(c.inputs[0].type.shape, c.inputs[1].type.shape);
}

/// Sums first, in double; three floats per position behind them.
void carve_work(SegmentationLossArgs& args, char* work) {
  args.class_sums = column_sums_of(args.positions, args.classes, 3, work);
  args.entropy_sums = column_sums_of(args.positions, 1, 1, nullptr);
  char* bytes = work + column_sums_bytes(args.class_sums);
  args.entropy_sums.partial = reinterpret_cast<double*>(bytes);
  args.top = reinterpret_cast<float*>(bytes + column_sums_bytes(args.entropy_sums));
  args.inverse = args.top + args.positions;
  args.entropies = args.inverse + args.positions;
}

}  // namespace

size_t segmentation_loss_cuda_work_bytes(const NodeTypes& t) {
  const int64_t positions = t.input(1).shape.count();
  return resized_bytes(t.input(0).shape, t.input(1).shape) +
         column_sums_bytes(column_sums_of(positions, t.input(0).shape.back(), 3, nullptr)) +
         column_sums_bytes(column_sums_of(positions, 1, 1, nullptr)) +
         static_cast<size_t>(3 * positions) * sizeof(float);
}

void segmentation_loss_cuda(const KernelContext& c) {
  SegmentationLossArgs args = kernel_args(c);
  args.cross_entropy = c.out<float>(0), args.dice = c.out<float>(1), args.sums_out = c.out<double>(2);
  args.fault = c.fault, args.node = c.node;
  carve_work(args, resize_logits(c, args));
  launch(c, "segmentation_loss_positions", element_grid(args.positions), args);
  launch(c, "segmentation_loss_class_sums", column_grid(args.class_sums), args);
  launch(c, "segmentation_loss_entropy_sums", column_grid(args.entropy_sums), args);
  launch(c, "segmentation_loss_classes", element_grid(args.classes), args);
  launch(c, "segmentation_loss_values", {}, args);
}

size_t segmentation_loss_backward_cuda_work_bytes(const NodeTypes& t) {
  return resized_bytes(t.input(0).shape, t.input(1).shape) +
         static_cast<size_t>(1 + 2 * t.input(0).shape.back()) * sizeof(float);
}

void segmentation_loss_backward_cuda(const KernelContext& c) {
  SegmentationLossArgs args = kernel_args(c);
  args.sums = c.in<double>(2), args.d_entropy = c.in<float>(3), args.d_dice = c.in<float>(4);
  args.factors = reinterpret_cast<float*>(resize_logits(c, args));
  // The gradient on the labels' grid takes the place of the resized logits.
  args.dlogits = is_resized(c) ? Results{c.work} : results_of(c, 0);
  launch(c, "segmentation_loss_factors", element_grid(args.classes), args);
  launch(c, "segmentation_loss_gradient", element_grid(args.positions), args);
  if (is_resized(c)) launch_resize_backward(c, {resize_of(c), args.dlogits.elements(), results_of(c, 0)});
}

}  // namespace sfr
