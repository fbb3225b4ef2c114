#include "ops/intensity_map/intensity_map.h"

namespace sfr::SFR_LEVEL {

namespace {

constexpr int64_t kBlock = 64;
constexpr int kHalvings = 52;
constexpr int kNewtonSteps = 5;
/// A last step below this leaves an error of about its square.
constexpr double kConverged = 1e-8;
constexpr double kTiny = 1e-300;

/// One coordinate of the curve, ((a t + b) t + c) t.
struct Cubic {
  double a, b, c;
  double at(double t) const { return ((a * t + b) * t + c) * t; }
  double slope(double t) const { return (3 * a * t + 2 * b) * t + c; }
};

inline Cubic cubic(double p1, double p2) {
  return {1 + 3 * p1 - 3 * p2, 3 * p2 - 6 * p1, 3 * p1};
}

/// t in [low, high] with x(t) = v, by halving.
double halve(const Cubic& x, double v, double low, double high) {
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = 0.5 * (low + high);
    if (x.at(middle) <= v)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/// A block's values within [0, 1] (NaN becomes 0) and their parameters.
struct Block {
  double v[kBlock], low[kBlock], high[kBlock], t[kBlock], step[kBlock];
};

inline void solve(const BezierCurve& curve, const Cubic& x, int64_t count, Block& b) {
  for (int64_t i = 0; i < count; ++i) {
    const double scaled = b.v[i] * kBezierParts;
    const int32_t whole = static_cast<int32_t>(scaled),
                  part = whole < kBezierParts ? whole : kBezierParts - 1;
    b.low[i] = curve.starts[part];
    b.high[i] = curve.starts[part + 1];
    b.t[i] = b.low[i] + (scaled - part) * (b.high[i] - b.low[i]);
  }
  for (int n = 0; n < kNewtonSteps; ++n) {
    for (int64_t i = 0; i < count; ++i) {
      const double slope = x.slope(b.t[i]);
      double next = b.t[i] - (x.at(b.t[i]) - b.v[i]) / (slope > kTiny ? slope : kTiny);
      next = next > b.low[i] ? next : b.low[i];
      next = next < b.high[i] ? next : b.high[i];
      b.step[i] = next - b.t[i];
      b.t[i] = next;
    }
  }
  for (int64_t i = 0; i < count; ++i)
    if (!(b.step[i] <= kConverged && b.step[i] >= -kConverged))
      b.t[i] = halve(x, b.v[i], b.low[i], b.high[i]);
}

}  // namespace

void bezier_starts(BezierCurve* curve) {
  const Cubic x = cubic(curve->x1, curve->x2);
  double high[kBezierParts + 1];
  double* low = curve->starts;
  for (int64_t k = 0; k <= kBezierParts; ++k) low[k] = 0, high[k] = 1;
  for (int i = 0; i < kHalvings; ++i) {
    for (int64_t k = 0; k <= kBezierParts; ++k) {
      const double middle = 0.5 * (low[k] + high[k]);
      const bool below = x.at(middle) * kBezierParts <= static_cast<double>(static_cast<int32_t>(k));
      low[k] = below ? middle : low[k];
      high[k] = below ? high[k] : middle;
    }
  }
  low[0] = 0;
  low[kBezierParts] = 1;
}

void bezier_map(const BezierCurve* curve, const float* x, int64_t count, float* y) {
  constexpr double kCells = kBezierSamples - 1;
  const Cubic across = cubic(curve->x1, curve->x2), up = cubic(curve->y1, curve->y2);
  Block b;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = count - begin < kBlock ? count - begin : kBlock;
    for (int64_t i = 0; i < n; ++i) {
      const double v = static_cast<double>(x[begin + i]);
      b.v[i] = v > 0 ? (v < 1 ? v : 1.0) : 0.0;
    }
    solve(*curve, across, n, b);
    // np.interp between the samples on both sides.
    for (int64_t i = 0; i < n; ++i) {
      const int32_t whole = static_cast<int32_t>(b.t[i] * kCells),
                    cell = whole < kCells - 1 ? whole : whole - 1;
      const double t0 = cell / kCells, t1 = (cell + 1) / kCells;
      const double x0 = across.at(t0), y0 = up.at(t0), width = across.at(t1) - x0;
      double share = (b.v[i] - x0) / (width > kTiny ? width : kTiny);
      share = share > 0 ? (share < 1 ? share : 1.0) : 0.0;
      const float mapped = static_cast<float>(y0 + share * (up.at(t1) - y0));
      y[begin + i] = x[begin + i] == x[begin + i] ? mapped : x[begin + i];
    }
  }
}

}  // namespace sfr::SFR_LEVEL
