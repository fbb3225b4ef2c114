#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void fill_reference(RefContext<T>& c) {
  for (T& y : c.outputs[0].data) y = T(2.5);
}

const std::vector<OpCase> cases = {
    {"scalar", {{"shape", std::vector<double>{}}, {"value", 2.5}}, {}},
    {"odd", {{"shape", std::vector<double>{3, 5, 7}}, {"value", 2.5}}, {}},
};

SFR_OP_TEST(fill, fill_reference, cases);

}  // namespace

}  // namespace sfr::test
