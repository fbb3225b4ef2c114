#include <algorithm>

#include "core/rng.h"
#include "native/op_test.h"
#include "ops/noise/noise.h"

namespace sfr::test {

namespace {

template <class T>
RandomKey key_of(RefContext<T>& c, const std::string& stream) {
  const auto word = [&](int64_t i) { return static_cast<uint32_t>(static_cast<int64_t>(c.inputs[0][i])); };
  return {uint64_t{word(1)} << 32 | word(0), word(2), stream_id(stream)};
}

template <class T>
void gaussian_noise_reference(RefContext<T>& c) {
  const auto& a = c.template as<GaussianNoiseAttributes>();
  const RandomKey key = key_of(c, a.stream);
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    const auto w = philox(key, static_cast<uint64_t>(i / 4));
    const size_t pair = static_cast<size_t>(i % 4 / 2 * 2);
    const T v = T(a.scale) * T(normals_from_words(w[pair], w[pair + 1])[static_cast<size_t>(i % 2)]);
    c.outputs[0][i] = a.limit > 0 ? std::clamp(v, T(-a.limit), T(a.limit)) : v;
  }
}

template <class T>
void uniform_noise_reference(RefContext<T>& c) {
  const auto& a = c.template as<UniformNoiseAttributes>();
  const RandomKey key = key_of(c, a.stream);
  for (int64_t i = 0; i < c.outputs[0].count(); ++i) {
    const auto w = philox(key, static_cast<uint64_t>(i / 4));
    c.outputs[0][i] = T(a.scale) * (2 * T(uniform_from_word(w[static_cast<size_t>(i % 4)])) - 1);
  }
}

const InputSpec rng = {{3}, DType::i32, Fill::normal, 1, false, false, {1234567, 89, 41}};
const InputSpec other_seed = {{3}, DType::i32, Fill::normal, 1, false, false, {-5, 0, 0}};
const std::string name = "student/noise";
const std::vector<double> single = {1}, odd = {3, 5, 7}, chunks = {3, 20011};

const std::vector<OpCase> gaussian_cases = {
    {"single", {{"shape", single}, {"stream", name}}, {rng}},
    {"odd", {{"shape", odd}, {"stream", name}, {"scale", 0.1}, {"limit", 0.15}}, {rng}},
    {"chunks", {{"shape", chunks}, {"stream", name}}, {rng}},
    {"other_stream",
     {{"shape", chunks}, {"stream", "teacher"}, {"scale", 2.0}, {"limit", 1.0}},
     {other_seed}},
};

const std::vector<OpCase> uniform_cases = {
    {"single", {{"shape", single}, {"stream", name}}, {rng}},
    {"odd", {{"shape", odd}, {"stream", name}, {"scale", 0.3}}, {rng}},
    {"chunks", {{"shape", chunks}, {"stream", "teacher"}, {"scale", 0.5}}, {other_seed}},
};

SFR_OP_TEST(uniform_noise, uniform_noise_reference, uniform_cases);
SFR_OP_TEST(gaussian_noise, gaussian_noise_reference, gaussian_cases);

}  // namespace

}  // namespace sfr::test
