#include "ops/label_noise/label_noise.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "labels", DType::u8);
  c.expect_dtype(1, "probabilities", DType::f32);
  const Shape& q = c.input(1, "probabilities").shape;
  c.expect(q.rank() >= 1 && q.back() >= 2 && q.back() <= 255, "probabilities",
           "a last axis of 2 to 255 classes", q.text());
  std::vector<int64_t> elements = q.extents();
  elements.pop_back();
  c.expect_shape(0, "labels", Shape(elements));
  c.output({DType::f32, Shape(elements)});
}

size_t work_bytes(const NodeTypes& types, int) {
  const int64_t classes = types.input(1).shape.back(), elements = types.input(0).shape.count();
  return static_cast<size_t>(2 * classes + 2 * classes * classes) * 8 +
         static_cast<size_t>(classes + classes * classes + elements) * 4;
}

/// The node's tensors, and where its numbers lie in work memory. `counted` is room for a number per element:
/// the CPU's kernel selects among them there.
LabelNoiseArgs kernel_args(const KernelContext& c) {
  LabelNoiseArgs args{};
  args.labels = c.in<uint8_t>(0), args.q = c.in<float>(1), args.y = c.out<float>(0);
  args.elements = c.inputs[0].count(), args.classes = c.inputs[1].type.shape.back();
  args.counts = static_cast<int64_t*>(c.work), args.joint = args.counts + args.classes;
  args.thresholds = reinterpret_cast<double*>(args.joint + args.classes * args.classes);
  args.scaled = args.thresholds + args.classes;
  args.lowest = reinterpret_cast<float*>(args.scaled + args.classes * args.classes);
  args.margins = args.lowest + args.classes;
  args.counted = reinterpret_cast<int32_t*>(args.margins + args.classes * args.classes);
  args.fault = c.fault, args.node = c.node;
  return args;
}

/// Steps 1 to 5 of the contract.
class LabelNoise {
 public:
  explicit LabelNoise(const LabelNoiseArgs& args)
      : args_(args), found_(reinterpret_cast<float*>(args.counted)) {}

  void run() {
    find_thresholds();
    if (std::count_if(args_.counts, args_.counts + args_.classes, [](int64_t n) { return n > 0; }) < 2) {
      std::fill(args_.y, args_.y + args_.elements, 1.0f);
      return;
    }
    count_joint();
    for (int64_t k = 0; k < args_.classes; ++k) {
      scale_label_row(args_.joint + k * args_.classes, args_.scaled + k * args_.classes, args_.classes,
                      args_.counts[k]);
      find_limits(k);
    }
    for (int64_t i = 0; i < args_.elements; ++i) args_.y[i] = is_noise(i) ? 1.0f : 0.0f;
  }

 private:
  void find_thresholds() {
    std::fill(args_.counts, args_.counts + args_.classes, 0);
    std::fill(args_.thresholds, args_.thresholds + args_.classes, 0.0);
    for (int64_t i = 0; i < args_.elements; ++i) {
      const int64_t k = args_.labels[i];
      if (k >= args_.classes)
        throw Error(ErrorCode::data, "label_noise: expected labels below " + std::to_string(args_.classes) +
                                         ", received " + std::to_string(k));
      ++args_.counts[k];
      args_.thresholds[k] += static_cast<double>(args_.q[i * args_.classes + k]);
    }
    for (int64_t k = 0; k < args_.classes; ++k)
      args_.thresholds[k] =
          args_.counts[k] > 0 ? args_.thresholds[k] / static_cast<double>(args_.counts[k]) - kLabelNoiseSlack
                              : std::numeric_limits<double>::infinity();
  }

  void count_joint() {
    std::fill(args_.joint, args_.joint + args_.classes * args_.classes, 0);
    for (int64_t i = 0; i < args_.elements; ++i) {
      const float* q = args_.q + i * args_.classes;
      int64_t best = -1;
      for (int64_t k = 0; k < args_.classes; ++k)
        if (static_cast<double>(q[k]) >= args_.thresholds[k] && (best < 0 || q[k] > q[best])) best = k;
      if (best >= 0) ++args_.joint[args_.labels[i] * args_.classes + best];
    }
    for (int64_t k = 0; k < args_.classes; ++k)
      args_.joint[k * args_.classes + k] = std::max<int64_t>(args_.joint[k * args_.classes + k], 1);
  }

  /// What q[k] has to be below, and the margins at least, for label k to be noise.
  void find_limits(int64_t k) {
    const int64_t count = args_.counts[k], wrong = count - args_.joint[k * args_.classes + k];
    args_.lowest[k] = wrong <= 0 ? -kInfinity : kInfinity;
    if (wrong > 0 && wrong < count) args_.lowest[k] = nth(k, wrong, [=](const float* q) { return q[k]; });
    for (int64_t j = 0; j < args_.classes; ++j) {
      const int64_t taken = j == k ? 0 : std::min(args_.joint[k * args_.classes + j], count);
      args_.margins[k * args_.classes + j] =
          taken == 0 ? kInfinity : nth(k, count - taken, [=](const float* q) { return q[j] - q[k]; });
    }
  }

  /// The n-th lowest, from 0, of a quantity of the elements labelled k.
  template <class F>
  float nth(int64_t k, int64_t n, F quantity) {
    int64_t among = 0;
    for (int64_t i = 0; i < args_.elements; ++i)
      if (args_.labels[i] == k) found_[among++] = quantity(args_.q + i * args_.classes);
    std::nth_element(found_, found_ + n, found_ + among);
    return found_[n];
  }

  bool is_noise(int64_t i) const {
    const int64_t k = args_.labels[i];
    const float* q = args_.q + i * args_.classes;
    if (q[k] >= args_.lowest[k] || std::max_element(q, q + args_.classes) - q == k) return false;
    for (int64_t j = 0; j < args_.classes; ++j)
      if (q[j] - q[k] >= args_.margins[k * args_.classes + j]) return true;
    return false;
  }

  const LabelNoiseArgs args_;
  float* const found_;
};

void label_noise_cpu(const KernelContext& c) {
  LabelNoise(kernel_args(c)).run();
}

void label_noise_cuda(const KernelContext& c) {
  const LabelNoiseArgs args = kernel_args(c);
  launch(c, "label_noise_limits", {}, args);
  launch(c, "label_noise", element_grid(args.elements), args);
}

size_t cuda_work_bytes(const NodeTypes& types) {
  return work_bytes(types, 1);
}

std::string fault_text(const NodeTypes& t, int64_t position) {
  return "label_noise: expected labels below " + std::to_string(t.input(1).shape.back()) +
         ", received another at index " + std::to_string(position);
}

}  // namespace

void register_label_noise(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("label_noise");
  op.infer = &infer;
  op.cpu = {{"selection", &label_noise_cpu}};
  op.work_bytes = &work_bytes;
  op.cuda = {{"one_block", &label_noise_cuda}};
  op.cuda_work_bytes = &cuda_work_bytes;
  op.fault_text = &fault_text;
  registry.add(std::move(op));
}

}  // namespace sfr
