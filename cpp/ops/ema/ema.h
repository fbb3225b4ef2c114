// ema: exponential moving average of all parameters of a model (Tarvainen & Valpola 2017, the teacher of Mean
// Teacher):
//   t = alpha t + (1 - alpha) s
//   inputs alpha f32 [], then per parameter: teacher t (state), student s, of one shape; f32; no outputs
#pragma once
#include <cstdint>

#include "device/fault.h"
#include "math/levels.h"

namespace sfr {

/// Parameters of the kernel of ema.cu: up to kTensors parameters at once.
struct EmaArgs {
  static constexpr int kTensors = 32;
  struct Parameter {
    float* teacher;
    const float* student;
    int64_t count;
  } parameters[kTensors];
  const float* alpha;
  const DeviceFault* fault;
};

SFR_DECLARE_LEVELS(void ema_row(float* teacher, const float* student, int64_t count, float alpha, float rest))

}  // namespace sfr
