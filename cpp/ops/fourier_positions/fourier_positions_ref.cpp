#include <cmath>

#include "native/op_test.h"
#include "ops/fourier_positions/fourier_positions.h"

namespace sfr::test {

namespace {

template <class T>
void fourier_positions_reference(RefContext<T>& c) {
  const auto& a = c.template as<FourierPositionsAttributes>();
  const int64_t features = c.inputs[0].dim(1);
  int64_t i = 0;
  for (int64_t y = 0; y < a.size[0]; ++y)
    for (int64_t x = 0; x < a.size[1]; ++x)
      for (int64_t f = 0; f < 2 * features; ++f) {
        const T cx = (T(x) + T(0.5)) / T(a.size[1]) * 2 - 1, cy = (T(y) + T(0.5)) / T(a.size[0]) * 2 - 1;
        const T angle =
            T(2 * M_PI) * (cx * c.inputs[0][f % features] + cy * c.inputs[0][features + f % features]);
        c.outputs[0][i++] = f < features ? std::sin(angle) : std::cos(angle);
      }
}

const std::vector<double> square = {3, 3}, oblong = {5, 7};
const std::vector<OpCase> cases = {{"square", {{"size", square}}, {{{2, 4}}}},
                                   {"oblong", {{"size", oblong}}, {{{2, 13}}}}};

SFR_OP_TEST(fourier_positions, fourier_positions_reference, cases);

}  // namespace

}  // namespace sfr::test
