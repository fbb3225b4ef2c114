// How an op is proven: a plain-loop reference, written once as a template and run in double (the truth) and
// in float (the yardstick for rounding), and a list of cases. `cpp/ops/<op>/<op>_ref.cpp` registers both with
// SFR_OP_TEST; the sweep (sweep.cpp) does the rest for every SIMD level and number of threads.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "core/bf16.h"
#include "graph/op.h"

namespace sfr::test {

/// The bf16 nearest to `value`, the even one of two; in plain integer arithmetic. Not for NaN.
Bf16 nearest_bf16(float value);
float bf16_value(Bf16 value);
template <class T>
T rounded_to_bf16(T value) {
  return static_cast<T>(bf16_value(nearest_bf16(static_cast<float>(value))));
}

/// A tensor of the reference. Integer dtypes hold whole numbers.
template <class T>
struct RefTensor {
  TensorType type;
  std::vector<T> data;
  bool present = true;
  int64_t dim(int axis) const { return type.shape[axis]; }
  int64_t count() const { return type.shape.count(); }
  T& operator[](int64_t i) { return data[static_cast<size_t>(i)]; }
  const T& operator[](int64_t i) const { return data[static_cast<size_t>(i)]; }
};

/// How an input is filled.
enum class Fill { normal, uniform, positive, labels, ones, zeros, indices };

struct InputSpec {
  Shape shape;
  DType dtype = DType::f32;
  Fill fill = Fill::normal;
  double scale = 1;     // of normal; largest label + 1 for labels; upper end (exclusive) for indices
  bool state = false;   // written by the op: becomes a persistent tensor, compared after the run
  bool absent = false;  // an optional input that is not given
  std::vector<double> values = {};  // when not empty: the content itself
  bool differentiate = true;        // f32 inputs: check the gradient when the op has a rule
};

struct OpCase {
  std::string name;
  AttributeMap attributes;
  std::vector<InputSpec> inputs;
  /// Output values that may be zero in most places (dropout, gathers with gaps); else the sweep distrusts
  /// them.
  bool sparse = false;
  /// Factor on the yardstick (default 2 x the error of the float loop), with its reason in the case list.
  double tolerance_factor = 2;
};

/// What a linear layer multiplies its weight with: x, rounded to bf16 when the weight is bf16.
template <class T>
T rounded_like(const RefTensor<T>& weight, T x) {
  return weight.type.dtype == DType::bf16 ? rounded_to_bf16(x) : x;
}

/// relu((x - mean) * scale + bias) with norm [3, C]: mean, scale and bias of the channels, the last axis of
/// x.
template <class T>
RefTensor<T> normalised(const RefTensor<T>& x, const RefTensor<T>& norm) {
  RefTensor<T> y = x;
  const int64_t channels = norm.dim(1);
  for (int64_t i = 0; i < x.count(); ++i) {
    const int64_t c = i % channels;
    y[i] = std::max(T(0), (x[i] - norm[c]) * norm[channels + c] + norm[2 * channels + c]);
  }
  return y;
}

template <class T>
struct RefContext {
  std::vector<RefTensor<T>>& inputs;   // state inputs are to be updated
  std::vector<RefTensor<T>>& outputs;  // shaped and zero-filled
  const void* attributes;
  template <class A>
  const A& as() const {
    return *static_cast<const A*>(attributes);
  }
  bool has(size_t i) const { return i < inputs.size() && inputs[i].present; }
};

struct OpTest {
  std::string op;
  void (*in_double)(RefContext<double>&);
  void (*in_float)(RefContext<float>&);
  std::vector<OpCase> cases;
};

std::vector<OpTest>& op_tests();

struct RegisterOpTest {
  RegisterOpTest(const char* op, void (*in_double)(RefContext<double>&), void (*in_float)(RefContext<float>&),
                 std::vector<OpCase> cases) {
    op_tests().push_back({op, in_double, in_float, std::move(cases)});
  }
};

/// SFR_OP_TEST(relu, relu_reference, cases): `relu_reference` is a function template over float / double.
#define SFR_OP_TEST(op, reference, cases) \
  static const ::sfr::test::RegisterOpTest op##_test(#op, &reference<double>, &reference<float>, cases)

}  // namespace sfr::test
