#include "core/rng.h"
#include "native/op_test.h"
#include "ops/dropout/dropout.h"

namespace sfr::test {

namespace {

template <class T>
void dropout_reference(RefContext<T>& c) {
  const auto& a = c.template as<DropoutAttributes>();
  const auto word = [&](int64_t i) { return static_cast<uint32_t>(static_cast<int64_t>(c.inputs[1][i])); };
  const RandomKey key{uint64_t{word(1)} << 32 | word(0), word(2), stream_id(a.stream)};
  const RefTensor<T>& x = c.inputs[0];
  const int64_t channels = x.type.shape.back(), per_item = x.count() / x.dim(0);
  for (int64_t i = 0; i < x.count(); ++i) {
    const int64_t element = a.channels ? i / per_item * channels + i % channels : i;
    const auto words = philox(key, static_cast<uint64_t>(element / 4));
    const double u = static_cast<double>(uniform_from_word(words[static_cast<size_t>(element % 4)]));
    c.outputs[0][i] = u >= a.rate ? x[i] / T(1 - a.rate) : T(0);
  }
}

const InputSpec rng = {{3}, DType::i32, Fill::normal, 1, false, false, {-1234567, 89, 41}};
const std::string name = "student/bottleneck/dropout";

const std::vector<OpCase> cases = {
    {"one", {{"rate", 0.0}, {"stream", name}}, {{{1}}, rng}},
    {"odd", {{"rate", 0.5}, {"stream", name}}, {{{3, 5, 7}}, rng}},
    {"chunks", {{"rate", 0.3}, {"stream", name}}, {{{3, 20011}}, rng}},
    {"channels", {{"rate", 0.5}, {"stream", name}, {"channels", true}}, {{{3, 2, 3, 5, 13}}, rng}},
    {"channels_16", {{"rate", 0.2}, {"stream", name}, {"channels", true}}, {{{2, 12, 13, 11, 16}}, rng}},
    {"rows_of_channels", {{"rate", 0.7}, {"stream", "other"}, {"channels", true}}, {{{31, 7}}, rng}},
};

SFR_OP_TEST(dropout, dropout_reference, cases);

}  // namespace

}  // namespace sfr::test
