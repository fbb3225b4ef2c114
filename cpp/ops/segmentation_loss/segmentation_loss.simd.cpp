// One register of positions at a time, one register per class; sums in f32 over a strip of 64 registers, then
// double.
#include "ops/segmentation_loss/segmentation_loss.h"

#include "ops/softmax/class_block.h"

namespace sfr::SFR_LEVEL {

namespace {

constexpr int64_t kStrip = 64 * kLanes;

struct StripSums {
  vf intersection[kMaxClasses], squares[kMaxClasses], members[kMaxClasses];
  vf distance;  // sum of (largest logit - logit of the label)
  vf product;   // of the sums of exponentials, as product * 2^exponent: one logarithm per lane and strip
  vi exponent;
  vi bad;  // all ones where a label is out of range
};

/// Lanes from `count` on are ignored.
SFR_INLINE vi load_labels(const uint8_t* labels, int count) {
  int32_t wide[kLanes];
  if (count == kLanes) {
    for (int i = 0; i < kLanes; ++i) wide[i] = labels[i];
  } else {
    for (int i = 0; i < kLanes; ++i) wide[i] = i < count ? labels[i] : kIgnoredLabel;
  }
  return as_int(load(reinterpret_cast<const float*>(wide)));
}

/// 1 / sum, or 0 where ignored: then every probability is 0, and with it all that is made of them.
SFR_INLINE vf inverse_of(vf sum, vi label) {
  return (label == kIgnoredLabel ? zero() : broadcast(1.0f)) / sum;
}

/// block: logits in, e^(logit - largest) out. Returns their sum.
SFR_INLINE vf exponentials(float* block, int64_t classes, vi label, vf* distance) {
  vf top = load(block);
  for (int64_t k = 1; k < classes; ++k) top = vmax(top, load(block + k * kLanes));
  vf sum = zero(), at_label = top;
  for (int64_t k = 0; k < classes; ++k) {
    const vf logit = load(block + k * kLanes);
    at_label = label == static_cast<int32_t>(k) ? logit : at_label;
    const vf e = vexp(logit - top);
    store(block + k * kLanes, e);
    sum += e;
  }
  *distance = top - at_label;
  return sum;
}

SFR_INLINE void add_block(float* block, int64_t classes, vi label, StripSums& s) {
  vf distance;
  const vf sum = exponentials(block, classes, label, &distance);
  s.distance +=
      distance + sum * 0.0f;  // a sum that is not finite must show in the loss: the product below hides it
  s.bad |= (label >= static_cast<int32_t>(classes)) & (label < kGapLabel);
  s.product *= label >= kGapLabel ? broadcast(1.0f) : sum;
  const vi bits = as_int(s.product);
  s.exponent += (bits >> 23) - 127;
  s.product = as_float((bits & 0x7fffff) | 0x3f800000);
  const vf inverse = inverse_of(sum, label);
  for (int64_t k = 0; k < classes; ++k) {
    const vf p = load(block + k * kLanes) * inverse;
    const vi member = label == static_cast<int32_t>(k);
    s.squares[k] += p * p;
    s.intersection[k] += as_float(member & as_int(p));
    s.members[k] += as_float(member & as_int(broadcast(1.0f)));
  }
}

SFR_INLINE double lane_sum(vf v) {
  double sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += static_cast<double>(v[i]);
  return sum;
}

SFR_INLINE void flush(const StripSums& s, int64_t classes, double* sums) {
  for (int64_t k = 0; k < classes; ++k) {
    sums[3 * k] += lane_sum(s.intersection[k]);
    sums[3 * k + 1] += lane_sum(s.squares[k]);
    sums[3 * k + 2] += lane_sum(s.members[k]);
  }
  double logs = lane_sum(s.distance);
  for (int i = 0; i < kLanes; ++i)
    logs += s.exponent[i] * 0.69314718055994531 + __builtin_log(static_cast<double>(s.product[i]));
  sums[3 * classes] += logs;
}

SFR_INLINE bool add_strip(const float* logits, const uint8_t* labels, int64_t count, int64_t classes,
                          double* sums) {
  float block[kMaxClasses * kLanes];
  StripSums s;
  for (int64_t k = 0; k < classes; ++k) s.intersection[k] = s.squares[k] = s.members[k] = zero();
  s.distance = zero();
  s.product = broadcast(1.0f);
  s.exponent = s.bad = vi{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const int live = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    load_classes(logits + i * classes, classes, live, block);
    add_block(block, classes, load_labels(labels + i, live), s);
  }
  flush(s, classes, sums);
  bool bad = false;
  for (int i = 0; i < kLanes; ++i) bad = bad || s.bad[i] != 0;
  return bad;
}

}  // namespace

int64_t segmentation_loss_rows(const float* logits, const uint8_t* labels, int64_t count, int64_t classes,
                               double* sums) {
  for (int64_t k = 0; k <= 3 * classes; ++k) sums[k] = 0;
  for (int64_t i = 0; i < count; i += kStrip) {
    const int64_t strip = count - i < kStrip ? count - i : kStrip;
    const float* x = logits + i * classes;
    // Constant class counts let the compiler unroll the loops over classes and keep the sums in registers.
    const bool bad = classes == 2   ? add_strip(x, labels + i, strip, 2, sums)
                     : classes == 3 ? add_strip(x, labels + i, strip, 3, sums)
                                    : add_strip(x, labels + i, strip, classes, sums);
    for (int64_t j = i; bad && j < i + strip; ++j)
      if (labels[j] >= classes && labels[j] < kGapLabel) return j;
  }
  return -1;
}

namespace {

SFR_INLINE void backward_rows(const float* logits, const uint8_t* labels, int64_t count, int64_t classes,
                              float ce, const float* label_factor, const float* square_factor,
                              float* dlogits) {
  float block[kMaxClasses * kLanes];
  const vf one = broadcast(1.0f);
  for (int64_t i = 0; i < count; i += kLanes) {
    const int live = count - i < kLanes ? static_cast<int>(count - i) : kLanes;
    load_classes(logits + i * classes, classes, live, block);
    const vi label = load_labels(labels + i, live);
    vf distance;
    const vf inverse = inverse_of(exponentials(block, classes, label, &distance), label);
    const vf entropy_factor = label >= kGapLabel ? zero() : broadcast(ce);
    vf dot = zero();
    for (int64_t k = 0; k < classes; ++k) {
      const vf p = load(block + k * kLanes) * inverse;
      const vf y = label == static_cast<int32_t>(k) ? one : zero();
      store(block + k * kLanes, p);
      dot += (label_factor[k] * y + square_factor[k] * p) * p;
    }
    for (int64_t k = 0; k < classes; ++k) {
      const vf p = load(block + k * kLanes);
      const vf y = label == static_cast<int32_t>(k) ? one : zero();
      const vf g = label_factor[k] * y + square_factor[k] * p;
      store(block + k * kLanes, p * (g - dot) + entropy_factor * (p - y));
    }
    store_classes(block, classes, live, dlogits + i * classes);
  }
}

}  // namespace

void segmentation_loss_backward_rows(const float* logits, const uint8_t* labels, int64_t count,
                                     int64_t classes, float ce, const float* label_factor,
                                     const float* square_factor, float* dlogits) {
  if (classes == 2) return backward_rows(logits, labels, count, 2, ce, label_factor, square_factor, dlogits);
  if (classes == 3) return backward_rows(logits, labels, count, 3, ce, label_factor, square_factor, dlogits);
  backward_rows(logits, labels, count, classes, ce, label_factor, square_factor, dlogits);
}

}  // namespace sfr::SFR_LEVEL
