// add, subtract, multiply, divide: y = a (op) b.   (divide: IEEE, so a / 0 is inf or NaN)
//   a [..]  b: the shape of a, a suffix of it (repeated over the leading axes), or a scalar [] -> y [shape of
//   a]; f32 gradient of a repeated b is summed over the leading axes (sum_to)
// affine: y = factor * x + offset (constants).   relu is in activation/.
// sum: x [..] -> y []; sum_to: x [.., shape] -> y [shape], summed over the leading axes, in double, in a
// fixed order. broadcast_to: x [suffix] -> y [.., suffix] (the gradient of sum and sum_to). stop_gradient: y
// = x, no gradient flows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/columns.h"
#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

struct AffineAttributes {
  double factor = 1;
  double offset = 0;
  template <class V>
  void visit(V& v) {
    v("factor", factor);
    v("offset", offset);
  }
};

/// Shape that sum_to reduces to, or that broadcast_to extends to.
struct TargetShapeAttributes {
  std::vector<int64_t> shape;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
  }
};

enum class BinaryOp : int { add, subtract, multiply, divide };

// y[i] = a[i] (op) b[i]; b_stride 0 repeats b[0].
SFR_DECLARE_LEVELS(void binary_row(BinaryOp op, const float* a, const float* b, int b_stride, float* y,
                                   int64_t count))
SFR_DECLARE_LEVELS(void affine_row(const float* x, float factor, float offset, float* y, int64_t count))
// Sum of a row in double: eight interleaved partial sums, then combined in order.
SFR_DECLARE_LEVELS(double sum_row(const float* x, int64_t count))
// sums[j] += x[j], in double.
SFR_DECLARE_LEVELS(void accumulate_row(const float* x, double* sums, int64_t count))

// Parameters of the kernels of elementwise.cu.

/// y[i] = a[i] (op) b[i % inner]
struct BinaryArgs {
  BinaryOp op;
  Elements a, b;
  Results y;
  int64_t count, inner;
};

/// y[i] = factor * x[i] + offset
struct AffineArgs {
  Elements x;
  Results y;
  int64_t count;
  float factor, offset;
};

/// y[j] = sum of x [rows][columns] over the rows; y alone is written by the second of two kernels.
struct SumArgs {
  Elements x;
  float* y;
  ColumnSums sums;
};

struct KernelContext;
/// Launches both kernels: y [columns] = sums over the rows of x; `work` holds sum_over_rows_bytes.
void sum_over_rows(const KernelContext& c, Elements x, int64_t rows, int64_t columns, float* y, void* work);
size_t sum_over_rows_bytes(int64_t rows, int64_t columns);

}  // namespace sfr
