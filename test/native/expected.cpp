#include "native/expected.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "native/expect.h"

namespace sfr::test {

double draw(const InputSpec& spec, uint32_t stream, int64_t i) {
  const auto w = philox({7, 0, stream}, static_cast<uint64_t>(i));
  const double u = uniform_from_word(w[0]);
  switch (spec.fill) {
    case Fill::normal:
      return static_cast<float>(spec.scale * normals_from_words(w[0], w[1])[0]);
    case Fill::uniform:
      return static_cast<float>(spec.scale * u);
    case Fill::positive:
      return static_cast<float>(spec.scale * (0.1 + u));
    case Fill::labels:
    case Fill::indices:
      return std::floor(u * spec.scale);
    case Fill::ones:
      return 1;
    case Fill::zeros:
      return 0;
  }
  return 0;
}

double loss_weight(size_t output, int64_t i) {
  return draw({}, stream_id("loss" + std::to_string(output)), i);
}

namespace {

template <class T>
std::vector<RefTensor<T>> reference_inputs(const OpCase& c, const std::vector<std::vector<double>>& data) {
  std::vector<RefTensor<T>> inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    inputs.push_back(
        {{c.inputs[i].dtype, c.inputs[i].shape}, {data[i].begin(), data[i].end()}, !c.inputs[i].absent});
  return inputs;
}

template <class T>
std::vector<RefTensor<T>> run_reference(void (*reference)(RefContext<T>&),
                                        const std::vector<TensorType>& types,
                                        std::vector<RefTensor<T>>& inputs, const void* attributes) {
  std::vector<RefTensor<T>> outputs;
  for (const TensorType& type : types)
    outputs.push_back({type, std::vector<T>(static_cast<size_t>(type.shape.count()), T(0)), true});
  RefContext<T> context{inputs, outputs, attributes};
  reference(context);
  return outputs;
}

void distrust(const std::string& what, const std::vector<double>& truth, bool sparse) {
  size_t zeros = 0;
  for (const double v : truth) {
    expect(std::isfinite(v), what + ": reference is not finite");
    zeros += v == 0 ? 1 : 0;
  }
  expect(sparse || truth.empty() || zeros * 10 <= truth.size() * 9,
         what + ": more than 90 % zeros prove nothing");
}

/// Weighted sum of the reference's outputs, whose derivative the gradients must equal.
double reference_loss(const OpTest& test, const OpCase& c, const std::vector<std::vector<double>>& data,
                      const std::vector<TensorType>& types, const void* attributes,
                      const std::vector<std::vector<double>>& weights) {
  std::vector<RefTensor<double>> inputs = reference_inputs<double>(c, data);
  const auto outputs = run_reference(test.in_double, types, inputs, attributes);
  double loss = 0;
  for (size_t o = 0; o < outputs.size(); ++o)
    for (size_t k = 0; k < weights[o].size(); ++k) loss += outputs[o].data[k] * weights[o][k];
  return loss;
}

/// Central differences in double at up to 12 entries of an input. Step 1e-5 leaves about 1e-9 of truncation.
std::vector<Slope> slopes_of(const OpTest& test, const OpCase& c, std::vector<std::vector<double>> data,
                             const std::vector<TensorType>& types, const void* attributes,
                             const std::vector<std::vector<double>>& weights, size_t input) {
  const int64_t count = c.inputs[input].shape.count(), samples = std::min<int64_t>(count, 12);
  std::vector<Slope> slopes;
  for (int64_t s = 0; s < samples; ++s) {
    const int64_t k =
        count <= 12 ? s : static_cast<int64_t>(philox({11, 0, 0}, static_cast<uint64_t>(s))[0] % count);
    double& x = data[input][static_cast<size_t>(k)];
    const double kept = x, step = 1e-5;
    x = kept + step;
    const double up = reference_loss(test, c, data, types, attributes, weights);
    x = kept - step;
    const double down = reference_loss(test, c, data, types, attributes, weights);
    x = kept;
    slopes.push_back({k, (up - down) / (2 * step)});
  }
  return slopes;
}

/// Of each output; none of those that are no f32.
std::vector<std::vector<double>> loss_weights(const std::vector<TensorType>& types) {
  std::vector<std::vector<double>> weights(types.size());
  for (size_t o = 0; o < types.size(); ++o)
    for (int64_t k = 0; types[o].dtype == DType::f32 && k < types[o].shape.count(); ++k)
      weights[o].push_back(loss_weight(o, k));
  return weights;
}

}  // namespace

Expected expectations(const OpTest& test, const OpCase& c, const std::vector<std::vector<double>>& data,
                      const void* attributes, const std::vector<TensorType>& types,
                      const std::vector<size_t>& differentiated) {
  Expected e;
  e.inputs = reference_inputs<double>(c, data);
  e.loop_inputs = reference_inputs<float>(c, data);
  e.outputs = run_reference(test.in_double, types, e.inputs, attributes);
  e.loop_outputs = run_reference(test.in_float, types, e.loop_inputs, attributes);
  for (size_t o = 0; o < types.size(); ++o)
    distrust("output " + std::to_string(o), e.outputs[o].data, c.sparse);
  if (differentiated.empty()) return e;
  const auto weights = loss_weights(types);
  for (const size_t input : differentiated)
    e.slopes.push_back(slopes_of(test, c, data, types, attributes, weights, input));
  return e;
}

}  // namespace sfr::test
