// What the reference of a case gives: once, for all SIMD levels and devices.
#pragma once
#include <string>
#include <vector>

#include "native/op_test.h"

namespace sfr::test {

/// Element i of an input, or of the weights of the loss, from a stream of its own.
double draw(const InputSpec& spec, uint32_t stream, int64_t i);
/// Weight of element i of output o in the loss whose gradient is checked.
double loss_weight(size_t output, int64_t i);

/// d loss / d element `at` of an input.
struct Slope {
  int64_t at;
  double value;
};

/// In double (the truth) and in float (the yardstick for rounding); inputs are as state was left.
struct Expected {
  std::vector<RefTensor<double>> inputs, outputs;
  std::vector<RefTensor<float>> loop_inputs, loop_outputs;
  std::vector<std::vector<Slope>> slopes;  // of each input in `differentiated`
};

/// Throws when the reference proves nothing. `types`: of the op's outputs.
Expected expectations(const OpTest& test, const OpCase& c, const std::vector<std::vector<double>>& data,
                      const void* attributes, const std::vector<TensorType>& types,
                      const std::vector<size_t>& differentiated);

}  // namespace sfr::test
