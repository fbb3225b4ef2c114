// ema: exponential moving average of all parameters of a model (Tarvainen & Valpola 2017, the teacher of Mean
// Teacher):
//   t = alpha t + (1 - alpha) s
//   inputs alpha f32 [], then per parameter: teacher t (state), student s, of one shape; f32; no outputs
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

SFR_DECLARE_LEVELS(void ema_row(float* teacher, const float* student, int64_t count, float alpha, float rest))

}  // namespace sfr
