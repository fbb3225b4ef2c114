// Extents of a node of linear_lora or its gradient, for the kernels of all devices.
#pragma once
#include "graph/op.h"
#include "ops/linear_lora/linear_lora.h"

namespace sfr::lora {

/// Where the pairs a, b begin among the inputs.
inline constexpr size_t kForwardPairs = 3, kBackwardPairs = 5;

/// One update: b writes channels [begin, begin + width) of the output; its column of u is `column`.
struct Update {
  int64_t begin, width, rank, column;
};

/// Extents of a node, from its inputs x or dy, weight, and the pairs from input `first` on.
struct Problem {
  int64_t rows = 0, in = 0, out = 0, rank = 0;  // rank of all updates together
  bool bf16 = false;                            // the weight
  std::vector<Update> updates;
};

template <class ShapeOf>
Problem problem_of(int64_t rows, const TensorType& weight, const std::vector<int64_t>& begins, size_t first,
                   ShapeOf shape_of) {
  Problem p;
  p.rows = rows;
  p.in = weight.shape[0];
  p.out = weight.shape[1];
  p.bf16 = weight.dtype == DType::bf16;
  for (size_t i = 0; i < begins.size(); ++i) {
    const Shape& b = shape_of(first + 2 * i + 1);
    p.updates.push_back({begins[i], b[1], b[0], p.rank});
    p.rank += b[0];
  }
  return p;
}

inline int64_t row_count(const Shape& shape) {
  return shape.count(0, shape.rank() - 1);
}

inline Problem forward_problem(const NodeTypes& t) {
  return problem_of(row_count(t.input(0).shape), t.input(1), t.as<LinearLoraAttributes>().begins,
                    kForwardPairs, [&](size_t i) -> const Shape& { return t.input(i).shape; });
}

inline Problem forward_problem(const KernelContext& c) {
  return problem_of(row_count(c.inputs[0].type.shape), c.inputs[1].type, c.as<LinearLoraAttributes>().begins,
                    kForwardPairs, [&](size_t i) -> const Shape& { return c.inputs[i].type.shape; });
}

inline Problem backward_problem(const NodeTypes& t) {
  return problem_of(row_count(t.input(0).shape), t.input(3), t.as<LinearLoraBackwardAttributes>().begins,
                    kBackwardPairs, [&](size_t i) -> const Shape& { return t.input(i).shape; });
}

inline Problem backward_problem(const KernelContext& c) {
  return problem_of(row_count(c.inputs[0].type.shape), c.inputs[3].type,
                    c.as<LinearLoraBackwardAttributes>().begins, kBackwardPairs,
                    [&](size_t i) -> const Shape& { return c.inputs[i].type.shape; });
}

inline size_t floats(int64_t count) {
  return static_cast<size_t>((count + 15) / 16) * 64;
}

/// Work memory, piece by piece.
struct Carver {
  char* base;
  size_t used = 0;
  float* take(int64_t count) {
    float* p = reinterpret_cast<float*>(base + used);
    used += floats(count);
    return p;
  }
};

void linear_lora_cuda(const KernelContext& c);
void linear_lora_backward_cuda(const KernelContext& c);
size_t linear_lora_backward_cuda_work_bytes(const NodeTypes& t);

}  // namespace sfr::lora
