// sgd: stochastic gradient descent with momentum over all parameters of a model (equals torch.optim.SGD):
//   g += weightDecay p;  v = momentum v + g;  p -= lr v      (a zero v gives torch's first step v = g)
//   inputs lr f32 [], then per parameter: p (state), gradient, v (state), of one shape; f32; no outputs
#pragma once
#include <cstdint>

#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

struct SgdAttributes {
  double momentum = 0;
  double weight_decay = 0;
  template <class V>
  void visit(V& v) {
    v("momentum", momentum);
    v("weightDecay", weight_decay);
  }
};

/// Parameters of the kernel of sgd.cu: up to kTensors parameters at once.
struct SgdArgs {
  static constexpr int kTensors = 32;
  struct Parameter {
    float* p;
    const float* gradient;
    float* v;
    int64_t count;
  } parameters[kTensors];
  const float* lr;
  const DeviceFault* fault;
  float momentum, weight_decay;
};

SFR_DECLARE_LEVELS(void sgd_row(float* p, const float* gradient, float* v, int64_t count, float lr,
                                float momentum, float weight_decay))

}  // namespace sfr
