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

/// Steps 1 to 5 of the contract.
class LabelNoise {
 public:
  explicit LabelNoise(const KernelContext& c)
      : labels_(c.in<uint8_t>(0)),
        q_(c.in<float>(1)),
        y_(c.out<float>(0)),
        elements_(c.inputs[0].count()),
        classes_(c.inputs[1].type.shape.back()),
        counts_(static_cast<int64_t*>(c.work)),
        joint_(counts_ + classes_),
        thresholds_(reinterpret_cast<double*>(joint_ + classes_ * classes_)),
        scaled_(thresholds_ + classes_),
        lowest_(reinterpret_cast<float*>(scaled_ + classes_ * classes_)),
        margins_(lowest_ + classes_),
        found_(margins_ + classes_ * classes_) {}

  void run() {
    find_thresholds();
    if (std::count_if(counts_, counts_ + classes_, [](int64_t n) { return n > 0; }) < 2) {
      std::fill(y_, y_ + elements_, 1.0f);
      return;
    }
    count_joint();
    for (int64_t k = 0; k < classes_; ++k) {
      scale_label_row(joint_ + k * classes_, scaled_ + k * classes_, classes_, counts_[k]);
      find_limits(k);
    }
    for (int64_t i = 0; i < elements_; ++i) y_[i] = is_noise(i) ? 1.0f : 0.0f;
  }

 private:
  void find_thresholds() {
    std::fill(counts_, counts_ + classes_, 0);
    std::fill(thresholds_, thresholds_ + classes_, 0.0);
    for (int64_t i = 0; i < elements_; ++i) {
      const int64_t k = labels_[i];
      if (k >= classes_)
        throw Error(ErrorCode::data, "label_noise: expected labels below " + std::to_string(classes_) +
                                         ", received " + std::to_string(k));
      ++counts_[k];
      thresholds_[k] += static_cast<double>(q_[i * classes_ + k]);
    }
    for (int64_t k = 0; k < classes_; ++k)
      thresholds_[k] = counts_[k] > 0 ? thresholds_[k] / static_cast<double>(counts_[k]) - kLabelNoiseSlack
                                      : std::numeric_limits<double>::infinity();
  }

  void count_joint() {
    std::fill(joint_, joint_ + classes_ * classes_, 0);
    for (int64_t i = 0; i < elements_; ++i) {
      const float* q = q_ + i * classes_;
      int64_t best = -1;
      for (int64_t k = 0; k < classes_; ++k)
        if (static_cast<double>(q[k]) >= thresholds_[k] && (best < 0 || q[k] > q[best])) best = k;
      if (best >= 0) ++joint_[labels_[i] * classes_ + best];
    }
    for (int64_t k = 0; k < classes_; ++k)
      joint_[k * classes_ + k] = std::max<int64_t>(joint_[k * classes_ + k], 1);
  }

  /// What q[k] has to be below, and the margins at least, for label k to be noise.
  void find_limits(int64_t k) {
    const int64_t count = counts_[k], wrong = count - joint_[k * classes_ + k];
    lowest_[k] = wrong <= 0 ? -kInfinity : kInfinity;
    if (wrong > 0 && wrong < count) lowest_[k] = nth(k, wrong, [=](const float* q) { return q[k]; });
    for (int64_t j = 0; j < classes_; ++j) {
      const int64_t taken = j == k ? 0 : std::min(joint_[k * classes_ + j], count);
      margins_[k * classes_ + j] =
          taken == 0 ? kInfinity : nth(k, count - taken, [=](const float* q) { return q[j] - q[k]; });
    }
  }

  /// The n-th lowest, from 0, of a quantity of the elements labelled k.
  template <class F>
  float nth(int64_t k, int64_t n, F quantity) {
    int64_t among = 0;
    for (int64_t i = 0; i < elements_; ++i)
      if (labels_[i] == k) found_[among++] = quantity(q_ + i * classes_);
    std::nth_element(found_, found_ + n, found_ + among);
    return found_[n];
  }

  bool is_noise(int64_t i) const {
    const int64_t k = labels_[i];
    const float* q = q_ + i * classes_;
    if (q[k] >= lowest_[k] || std::max_element(q, q + classes_) - q == k) return false;
    for (int64_t j = 0; j < classes_; ++j)
      if (q[j] - q[k] >= margins_[k * classes_ + j]) return true;
    return false;
  }

  const uint8_t* labels_;
  const float* q_;
  float* y_;
  int64_t elements_, classes_;
  int64_t *counts_, *joint_;
  double *thresholds_, *scaled_;
  float *lowest_, *margins_, *found_;
};

void label_noise_cpu(const KernelContext& c) {
  LabelNoise(c).run();
}

/// The element's class in place of found_, which has the same bytes.
void label_noise_cuda(const KernelContext& c) {
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
