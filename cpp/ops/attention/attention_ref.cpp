#include <algorithm>
#include <cmath>

#include "native/op_test.h"
#include "ops/attention/attention.h"

namespace sfr::test {

namespace {

template <class T>
struct Head {
  RefContext<T>& c;
  int64_t batch, head, depth, channels, queries, keys;
  T q(int64_t i, int64_t e) const { return c.inputs[0][(batch * queries + i) * channels + head * depth + e]; }
  T key(size_t input, int64_t j, int64_t e) const {
    return c.inputs[input][(batch * keys + j) * channels + head * depth + e];
  }
  T score(int64_t i, int64_t j) const {
    T sum = 0;
    for (int64_t e = 0; e < depth; ++e) sum += q(i, e) / std::sqrt(T(depth)) * key(1, j, e);
    return sum;
  }
};

template <class T>
void attention_reference(RefContext<T>& c) {
  const Shape &qs = c.inputs[0].type.shape, &ks = c.inputs[1].type.shape;
  const int64_t heads = c.template as<AttentionAttributes>().heads;
  for (int64_t pair = 0; pair < qs[0] * heads; ++pair) {
    const Head<T> h{c, pair / heads, pair % heads, qs[2] / heads, qs[2], qs[1], ks[1]};
    for (int64_t i = 0; i < h.queries; ++i) {
      std::vector<T> p;
      for (int64_t j = 0; j < h.keys; ++j) p.push_back(h.score(i, j));
      const T top = *std::max_element(p.begin(), p.end());
      T total = 0;
      for (T& x : p) total += x = std::exp(x - top);
      for (int64_t e = 0; e < h.depth; ++e) {
        T sum = 0;
        for (int64_t j = 0; j < h.keys; ++j) sum += p[static_cast<size_t>(j)] * h.key(2, j, e);
        c.outputs[0][(h.batch * h.queries + i) * h.channels + h.head * h.depth + e] = sum / total;
      }
      c.outputs[1][pair * h.queries + i] = top + std::log(total);
    }
  }
}

std::vector<InputSpec> tokens(int64_t batch, int64_t queries, int64_t keys, int64_t channels) {
  return {{{batch, queries, channels}}, {{batch, keys, channels}}, {{batch, keys, channels}}};
}

/// Scores of about 1e4: one key takes all; q and k still have the gradient of the logsumexp. More than one
/// tile of keys: the largest score so far must survive a tile of smaller ones.
std::vector<InputSpec> huge_scores() {
  std::vector<InputSpec> inputs = tokens(1, 19, 131, 6);
  inputs[0].scale = inputs[1].scale = 70;
  return inputs;
}

const std::vector<OpCase> cases = {
    {"one", {}, tokens(1, 1, 1, 1)},
    {"odd", {{"heads", 2.0}}, tokens(2, 3, 5, 6)},
    {"primes", {{"heads", 3.0}}, tokens(1, 37, 131, 33)},
    {"decoder", {{"heads", 2.0}}, tokens(1, 5, 261, 32)},
    {"decoder_back", {{"heads", 2.0}}, tokens(1, 67, 5, 32)},
    {"two_query_blocks", {}, tokens(1, 263, 29, 5)},
    {"key_segments", {}, tokens(1, 3, 1201, 4)},
    {"huge_scores", {}, huge_scores()},
};

SFR_OP_TEST(attention, attention_reference, cases);

}  // namespace

}  // namespace sfr::test
