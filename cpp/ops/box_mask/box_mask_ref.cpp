#include <cmath>

#include "core/rng.h"
#include "native/op_test.h"
#include "ops/box_mask/box_mask.h"

namespace sfr::test {

namespace {

template <class T>
void box_mask_reference(RefContext<T>& c) {
  const auto& a = c.template as<BoxMaskAttributes>();
  const auto word = [&](int64_t i) { return static_cast<uint32_t>(static_cast<int64_t>(c.inputs[0][i])); };
  const auto words = philox({uint64_t{word(1)} << 32 | word(0), word(2), stream_id(a.stream)}, 0);
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    const int64_t at[3] = {i / (a.shape[1] * a.shape[2]), i / a.shape[2] % a.shape[1], i % a.shape[2]};
    bool inside = true;
    for (size_t axis = 0; axis < 3; ++axis) {
      const double room = static_cast<double>(a.shape[axis] - a.box[axis]);
      const double first = std::floor(uniform_from_word(words[axis]) * room);
      inside &= at[axis] >= first && at[axis] < first + static_cast<double>(a.box[axis]);
    }
    c.outputs[0][i] = inside ? T(0) : T(1);
  }
}

const InputSpec rng = {{3}, DType::i32, Fill::normal, 1, false, false, {1234567, 89, 41}};
const InputSpec other_step = {{3}, DType::i32, Fill::normal, 1, false, false, {1234567, 89, 42}};
const std::vector<double> shape = {7, 11, 13}, box = {4, 7, 8}, plane = {2, 2, 64}, line = {1, 1, 1};

const std::vector<OpCase> cases = {
    {"odd", {{"shape", shape}, {"box", box}, {"stream", "box"}}, {rng}},
    {"next_step", {{"shape", shape}, {"box", box}, {"stream", "box"}}, {other_step}},
    {"single", {{"shape", plane}, {"box", line}, {"stream", "box"}}, {rng}},
};

SFR_OP_TEST(box_mask, box_mask_reference, cases);

}  // namespace

}  // namespace sfr::test
