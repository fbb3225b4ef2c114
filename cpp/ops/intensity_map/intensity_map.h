// intensity_map: the monotone Bezier intensity map of SFR's per-slice augmentation (method.md, stage 2;
// equals bezier_curve + nonlinear_transformation of the authors' code, test data: bezier.json).
//   x [D, H, W] f32, points [D, 4] f32 = (x1, y1, x2, y2) in [0, 1], apply [D] i32 -> y [D, H, W] f32
// A slice with apply 0 is copied. Otherwise the cubic Bezier curve of (0,0), (x1,y1), (x2,y2), (1,1) is
// sampled at 100000 parameters np.linspace(0, 1, 100000) and y = np.interp(x, xs, ys): clamped, so values
// outside [0, 1] saturate. The authors sort the x and the y samples; with points in [0, 1] both coordinates
// rise, for (p1 - p2)^2 <= p1 (1 - p2) keeps the derivative from turning negative. So no table is needed: the
// sample before x is found by solving x(t) = x. In double. Not differentiable. Errors: Error(data) for points
// outside [0, 1].
#pragma once
#include <cstdint>

#include "math/levels.h"

namespace sfr {

inline constexpr int64_t kBezierSamples = 100000;
/// Parts of [0, 1] of x whose bounds are solved for once per curve.
inline constexpr int64_t kBezierParts = 256;

/// Inner control points of a curve and t where x(t) = k / kBezierParts.
struct BezierCurve {
  double x1, y1, x2, y2;
  double starts[kBezierParts + 1];
};

// Fills `starts` from the control points.
SFR_DECLARE_LEVELS(void bezier_starts(BezierCurve* curve))
SFR_DECLARE_LEVELS(void bezier_map(const BezierCurve* curve, const float* x, int64_t count, float* y))

}  // namespace sfr
