// adamw: Adam with decoupled weight decay over all parameters of a model (Loshchilov & Hutter 2019; equals
// torch.optim.AdamW):
//   p *= 1 - lr weightDecay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + epsilon)
//   inputs lr f32 [], step f32 [] (1 for the first step), then per parameter: p (state), gradient, m (state),
//   v (state), of one shape; f32; no outputs. Bias corrections in double. A step below 1 throws Error(usage).
#pragma once
#include <cstdint>

#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

struct AdamwAttributes {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.01;
  template <class V>
  void visit(V& v) {
    v("beta1", beta1);
    v("beta2", beta2);
    v("epsilon", epsilon);
    v("weightDecay", weight_decay);
  }
};

/// Factors of one step, the same for every element (adamw_factors).
struct AdamwFactors {
  float keep;  // 1 - lr weightDecay
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float inverse_deviation;  // 1 / sqrt(1 - beta2^step)
  float epsilon;
  float step_size;  // lr / (1 - beta1^step)
};

/// Parameters of the kernels of adamw.cu: up to kTensors parameters at once. `factors` stands in work memory.
struct AdamwArgs {
  static constexpr int kTensors = 32;
  struct Parameter {
    float* p;
    const float* gradient;
    float *m, *v;
    int64_t count;
  } parameters[kTensors];
  const float *lr, *step;
  AdamwFactors* factors;
  DeviceFault* fault;
  int32_t node;
  AdamwAttributes attributes;
};

SFR_DECLARE_LEVELS(void adamw_row(float* p, const float* gradient, float* m, float* v, int64_t count,
                                  const AdamwFactors& factors))

}  // namespace sfr
