// The factors of a step, for the CPU and the kernel of adamw.cu.
#pragma once
#include <cmath>

#include "core/host_device.h"
#include "ops/adamw/adamw.h"

namespace sfr {

/// Bias corrections in double. `step` counts from 1.
inline SFR_HOST_DEVICE AdamwFactors adamw_factors(const AdamwAttributes& a, double lr, double step) {
  AdamwFactors f{};
  f.keep = static_cast<float>(1 - lr * a.weight_decay);
  f.beta1 = static_cast<float>(a.beta1);
  f.one_minus_beta1 = static_cast<float>(1 - a.beta1);
  f.beta2 = static_cast<float>(a.beta2);
  f.one_minus_beta2 = static_cast<float>(1 - a.beta2);
  f.inverse_deviation = static_cast<float>(1 / sqrt(1 - pow(a.beta2, step)));
  f.epsilon = static_cast<float>(a.epsilon);
  f.step_size = static_cast<float>(lr / (1 - pow(a.beta1, step)));
  return f;
}

}  // namespace sfr
