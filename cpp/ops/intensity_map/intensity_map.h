// intensity_map: the monotone Bezier intensity map of SFR's per-slice augmentation (method.md, stage 2;
// equals bezier_curve + nonlinear_transformation of the authors' code, test data: bezier.json).
//   x [D, H, W] f32, points [D, 4] f32 = (x1, y1, x2, y2), apply [D] i32 -> y [D, H, W] f32
// A slice with apply 0 is copied. Otherwise the cubic Bezier curve of (0,0), (x1,y1), (x2,y2), (1,1) is
// sampled at 100000 parameters np.linspace(0, 1, 100000), the x samples and the y samples are sorted
// separately, and y = np.interp(x, xs, ys): clamped, so values outside [0, 1] saturate. Tables in double. Not
// differentiable. The map is applied per slice (an axial slice z of the volume).
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

inline constexpr int64_t kBezierSamples = 100000;

// table[i] = 3 (1-t)^2 t p1 + 3 (1-t) t^2 p2 + t^3 at t = i / (samples - 1), the last one exactly 1.
SFR_DECLARE_LEVELS(void bezier_samples(double p1, double p2, double* table, int64_t samples))

}  // namespace sfr
