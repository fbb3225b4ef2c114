// Elements of tensors of any type, as numbers.
#pragma once
#include "core/tensor.h"

namespace sfr::test {

double element(const Tensor& t, int64_t i);
/// Rounded to the nearest bf16 in a tensor of those; `value` is a whole number where the type is one of them.
void set_element(Tensor& t, int64_t i, double value);

}  // namespace sfr::test
