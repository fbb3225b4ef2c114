// Ops that move whole blocks of elements and compute nothing; any dtype, bit for bit.
// reshape: y = x under attribute shape (same number of elements); a view, no work, no memory.
// concat: x0 [.., n0, ..], x1 [.., n1, ..], ... -> y [.., n0 + n1 + .., ..] along attribute axis; all other
// extents
//   and the dtype are equal. Equals numpy.concatenate.
// slice: x [.., n, ..] -> y [.., end - begin, ..], the positions begin <= i < end of attribute axis.
// pad: x [.., n, ..] -> y [.., before + n + after, ..], zeros around x along attribute axis.
// Gradients: reshape <- reshape, concat <- slice per input, slice <- pad, pad <- slice (f32).
// axis counts from 0, outermost first. Errors: shape (extents that differ, an axis or range outside the
// tensor).
#pragma once
#include <cstdint>
#include <vector>

#include "cuda/elements.h"

namespace sfr {

struct ReshapeAttributes {
  std::vector<int64_t> shape;
  template <class V>
  void visit(V& v) {
    v("shape", shape);
  }
};

struct ConcatAttributes {
  int64_t axis = 0;
  template <class V>
  void visit(V& v) {
    v("axis", axis);
  }
};

struct SliceAttributes {
  int64_t axis = 0;
  int64_t begin = 0;
  int64_t end = 0;
  template <class V>
  void visit(V& v) {
    v("axis", axis);
    v("begin", begin);
    v("end", end);
  }
};

struct PadAttributes {
  int64_t axis = 0;
  int64_t before = 0;
  int64_t after = 0;
  template <class V>
  void visit(V& v) {
    v("axis", axis);
    v("before", before);
    v("after", after);
  }
};

/// Parameters of the kernels of shape_ops.cu: `rows` rows of `width` units, each `x_pitch` and `y_pitch`
/// units after the one before; zeros where x is null. A unit is an element of f32 or bf16, or a byte.
struct CopyRowsArgs {
  Elements x;
  Results y;
  int64_t rows, width, x_pitch, y_pitch;
};

}  // namespace sfr
