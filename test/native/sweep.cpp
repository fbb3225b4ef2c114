#include "sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/rng.h"
#include "graph/program.h"
#include "math/levels.h"
#include "native/devices.h"
#include "op_test.h"

namespace sfr::test {

std::vector<OpTest>& op_tests() {
  static std::vector<OpTest> tests;
  return tests;
}

Bf16 nearest_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t upper = bits >> 16, lower = bits & 0xffff;
  const bool up = lower > 0x8000 || (lower == 0x8000 && (upper & 1) == 1);
  return {static_cast<uint16_t>(upper + (up ? 1 : 0))};
}

float bf16_value(Bf16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

namespace {

std::set<std::string>& ops_run() {
  static std::set<std::string> ops;
  return ops;
}

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

std::vector<double> content(const InputSpec& spec, size_t index) {
  std::vector<double> data = spec.values;
  data.resize(static_cast<size_t>(spec.shape.count()));
  for (size_t i = spec.values.size(); i < data.size(); ++i)
    data[i] = draw(spec, stream_id("input" + std::to_string(index)), static_cast<int64_t>(i));
  // The reference reads what the tensor holds.
  for (double& v : data)
    if (spec.dtype == DType::bf16) v = rounded_to_bf16(v);
  return data;
}

/// Level v4_bf16 runs the code of v4 where no bf16 is involved.
bool has_bf16(const OpCase& c) {
  return std::any_of(c.inputs.begin(), c.inputs.end(),
                     [](const InputSpec& spec) { return spec.dtype == DType::bf16; });
}

template <class T>
std::vector<RefTensor<T>> reference_inputs(const OpCase& c, const std::vector<std::vector<double>>& data) {
  std::vector<RefTensor<T>> inputs;
  for (size_t i = 0; i < c.inputs.size(); ++i)
    inputs.push_back(
        {{c.inputs[i].dtype, c.inputs[i].shape}, {data[i].begin(), data[i].end()}, !c.inputs[i].absent});
  return inputs;
}

double element(const Tensor& t, int64_t i) {
  switch (t.type().dtype) {
    case DType::f32:
      return reinterpret_cast<const float*>(t.data())[i];
    case DType::f64:
      return reinterpret_cast<const double*>(t.data())[i];
    case DType::i32:
      return reinterpret_cast<const int32_t*>(t.data())[i];
    case DType::u8:
      return reinterpret_cast<const uint8_t*>(t.data())[i];
    case DType::u16:
      return reinterpret_cast<const uint16_t*>(t.data())[i];
    case DType::bf16:
      return bf16_value(reinterpret_cast<const Bf16*>(t.data())[i]);
  }
  return 0;
}

void set_element(Tensor& t, int64_t i, double value) {
  switch (t.type().dtype) {
    case DType::f32:
      reinterpret_cast<float*>(t.data())[i] = static_cast<float>(value);
      return;
    case DType::f64:
      reinterpret_cast<double*>(t.data())[i] = value;
      return;
    case DType::i32:
      reinterpret_cast<int32_t*>(t.data())[i] = static_cast<int32_t>(value);
      return;
    case DType::u8:
      reinterpret_cast<uint8_t*>(t.data())[i] = static_cast<uint8_t>(value);
      return;
    case DType::u16:
      reinterpret_cast<uint16_t*>(t.data())[i] = static_cast<uint16_t>(value);
      return;
    case DType::bf16:
      reinterpret_cast<Bf16*>(t.data())[i] = nearest_bf16(static_cast<float>(value));
      return;
  }
}

/// One case compiled into a program: op outputs, and the gradients of sum(weight * output) when there is a
/// rule.
struct CaseProgram {
  std::unique_ptr<Program> program;
  std::map<ValueId, TensorPtr> inputs;
  std::vector<TensorPtr> state;        // by op input index; null when not state
  size_t outputs = 0;                  // first results are the op's outputs
  std::vector<size_t> differentiated;  // op input of each further result
};

/// On the CPU, or on a device when there is one.
CaseProgram build(const OpTest& test, const OpCase& c, const std::vector<std::vector<double>>& data,
                  const CompileOptions& options) {
  CaseProgram built;
  Graph graph;
  std::vector<ValueId> in;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const InputSpec& spec = c.inputs[i];
    built.state.push_back(nullptr);
    if (spec.absent) {
      in.push_back(kNoValue);
      continue;
    }
    auto tensor = std::make_shared<Tensor>(TensorType{spec.dtype, spec.shape}, true);
    for (int64_t k = 0; k < spec.shape.count(); ++k) set_element(*tensor, k, data[i][static_cast<size_t>(k)]);
    if (spec.state) {
      if (options.device) tensor = options.device->upload(*tensor);
      built.state.back() = tensor;
      in.push_back(graph.add_persistent(tensor, "state" + std::to_string(i)));
    } else {
      in.push_back(graph.add_input("input" + std::to_string(i), tensor->type()));
      built.inputs[in.back()] = tensor;
    }
  }
  const OpDef& op = OpRegistry::instance().get(test.op);
  std::vector<ValueId> results = graph.add_node(test.op, in, c.attributes, "case");
  built.outputs = results.size();
  std::vector<ValueId> wrt;
  for (size_t i = 0; op.gradient != nullptr && i < in.size(); ++i)
    if (in[i] != kNoValue && c.inputs[i].dtype == DType::f32 && c.inputs[i].differentiate &&
        !c.inputs[i].state) {
      wrt.push_back(in[i]);
      built.differentiated.push_back(i);
    }
  if (!wrt.empty()) {
    ValueId loss = kNoValue;
    for (size_t o = 0; o < built.outputs; ++o) {
      if (graph.type(results[o]).dtype != DType::f32) continue;
      auto weight = std::make_shared<Tensor>(graph.type(results[o]));
      for (int64_t k = 0; k < weight->type().shape.count(); ++k)
        set_element(*weight, k, draw({}, stream_id("loss" + std::to_string(o)), k));
      const ValueId w = graph.add_input("weight" + std::to_string(o), weight->type());
      built.inputs[w] = weight;
      const ValueId term =
          graph.add_node("sum", graph.add_node("multiply", {results[o], w}, {}, ""), {}, "")[0];
      loss = loss == kNoValue ? term : graph.add_node("add", {loss, term}, {}, "")[0];
    }
    for (const ValueId g : graph.add_gradients(loss, wrt)) results.push_back(g);
  }
  built.program = std::make_unique<Program>(std::move(graph), results, options);
  for (const Node& node : built.program->graph().nodes()) ops_run().insert(node.op->name);
  return built;
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

/// |ours - truth| must be within factor x the float loop's largest error, plus 8 units in the last place of
/// the largest value: kernels may sum in another order, not lose digits.
void compare(const std::string& what, const Tensor& ours, const std::vector<double>& truth,
             const std::vector<float>& yardstick, double factor) {
  double loop_error = 0, largest = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    loop_error = std::max(loop_error, std::abs(static_cast<double>(yardstick[i]) - truth[i]));
    largest = std::max(largest, std::abs(truth[i]));
  }
  const bool floating = ours.type().dtype == DType::f32 || ours.type().dtype == DType::f64;
  const double bound = floating ? factor * loop_error + 8 * 1.2e-7 * largest : 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double value = element(ours, static_cast<int64_t>(i));
    if (!(std::abs(value - truth[i]) <= bound))
      throw std::runtime_error(what + ": expected " + std::to_string(truth[i]) + " at " + std::to_string(i) +
                               ", received " + std::to_string(value) + ", bound " + std::to_string(bound));
  }
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
                      const std::vector<TensorType>& types, const void* attributes) {
  std::vector<RefTensor<double>> inputs = reference_inputs<double>(c, data);
  const auto outputs = run_reference(test.in_double, types, inputs, attributes);
  double loss = 0;
  for (size_t o = 0; o < outputs.size(); ++o) {
    if (outputs[o].type.dtype != DType::f32) continue;
    for (int64_t k = 0; k < outputs[o].count(); ++k)
      loss += outputs[o][k] * draw({}, stream_id("loss" + std::to_string(o)), k);
  }
  return loss;
}

/// Central differences in double at up to 12 entries per input. Step 1e-5 leaves about 1e-9 of truncation;
/// the bound is rounding of the f32 backward pass: 1e-3 of the largest gradient entry seen.
void check_gradients(const OpTest& test, const OpCase& c, std::vector<std::vector<double>> data,
                     const std::vector<TensorType>& types, const void* attributes, const CaseProgram& built) {
  for (size_t g = 0; g < built.differentiated.size(); ++g) {
    const size_t input = built.differentiated[g];
    const Tensor& gradient = *built.program->outputs()[built.outputs + g];
    const int64_t count = c.inputs[input].shape.count();
    double largest = 1e-6;
    for (int64_t k = 0; k < count; ++k) largest = std::max(largest, std::abs(element(gradient, k)));
    const int64_t samples = std::min<int64_t>(count, 12);
    for (int64_t s = 0; s < samples; ++s) {
      const int64_t k =
          count <= 12 ? s : static_cast<int64_t>(philox({11, 0, 0}, static_cast<uint64_t>(s))[0] % count);
      double& x = data[input][static_cast<size_t>(k)];
      const double kept = x, step = 1e-5;
      x = kept + step;
      const double up = reference_loss(test, c, data, types, attributes);
      x = kept - step;
      const double down = reference_loss(test, c, data, types, attributes);
      x = kept;
      const double expected = (up - down) / (2 * step), received = element(gradient, k);
      expect(std::abs(expected - received) <= 1e-3 * std::max(largest, std::abs(expected)),
             "gradient of input " + std::to_string(input) + " at " + std::to_string(k) + ": expected " +
                 std::to_string(expected) + ", received " + std::to_string(received));
    }
  }
}

std::vector<std::vector<std::byte>> results_of(const CaseProgram& built) {
  std::vector<std::vector<std::byte>> bytes;
  const auto keep = [&](const Tensor& t) { bytes.emplace_back(t.data(), t.data() + t.type().bytes()); };
  for (const TensorPtr& t : built.program->outputs()) keep(*t);
  for (const TensorPtr& t : built.state)
    if (t) keep(*t);
  return bytes;
}

/// Copies state back from the device, where it is compared with nothing.
void fetch_state(CaseProgram& built, Device& device) {
  for (TensorPtr& t : built.state) {
    if (!t) continue;
    auto host = std::make_shared<Tensor>(t->type());
    device.download(*t, *host);
    t = host;
  }
}

/// Results and gradients of a case that has run against its reference.
void check_results(const std::string& where, const OpTest& test, const OpCase& c,
                   const std::vector<std::vector<double>>& data, const void* attributes,
                   const CaseProgram& built) {
  std::vector<TensorType> types;
  for (size_t o = 0; o < built.outputs; ++o) types.push_back(built.program->outputs()[o]->type());
  auto in_double = reference_inputs<double>(c, data);
  auto in_float = reference_inputs<float>(c, data);
  const auto truth = run_reference(test.in_double, types, in_double, attributes);
  const auto loop = run_reference(test.in_float, types, in_float, attributes);
  for (size_t o = 0; o < built.outputs; ++o) {
    distrust(where + " output " + std::to_string(o), truth[o].data, c.sparse);
    compare(where + " output " + std::to_string(o), *built.program->outputs()[o], truth[o].data, loop[o].data,
            c.tolerance_factor);
  }
  for (size_t i = 0; i < built.state.size(); ++i)
    if (built.state[i])
      compare(where + " state " + std::to_string(i), *built.state[i], in_double[i].data, in_float[i].data,
              c.tolerance_factor);
  check_gradients(test, c, data, types, attributes, built);
}

/// Node by node, watched where that can be; a card runs it as one captured step as well, for the same bits
/// (the shim does so in training_step_test.cpp).
void run_on_device(const std::shared_ptr<Device>& device, const OpTest& test, const OpCase& c,
                   const std::vector<std::vector<double>>& data, const void* attributes) {
  const std::atomic<bool> never{false};
  std::vector<std::vector<std::byte>> watched;
  for (const bool watches : {true, false}) {
    if (!watches && device->can_watch()) return;
    CaseProgram built = build(test, c, data, {true, watches, false, device});
    built.program->run(built.inputs, never);
    fetch_state(built, *device);
    if (!watches) {
      expect(results_of(built) == watched, device->name() + ": a captured run gives other bits");
      continue;
    }
    watched = results_of(built);
    check_results(device->name(), test, c, data, attributes, built);
  }
}

}  // namespace

void run_case(const OpTest& test, const OpCase& c) {
  std::vector<std::vector<double>> data;
  for (size_t i = 0; i < c.inputs.size(); ++i) data.push_back(content(c.inputs[i], i));
  const OpDef& op = OpRegistry::instance().get(test.op);
  const auto attributes = op.parse(test.op, c.attributes);
  const std::atomic<bool> never{false};
  const SimdLevel best = simd_level();
  bool on_devices = false;
  for (const SimdLevel level : kSimdLevels) {
    if ((level == SimdLevel::v4_bf16 && !has_bf16(c)) || !set_simd_level(level)) continue;
    std::vector<std::vector<std::byte>> first;
    for (const int threads : {1, 2, 3, 64}) {
      Engine::instance().set_threads(threads);
      CaseProgram built = build(test, c, data, {true, true});
      on_devices = runs_on_cuda(built.program->graph());
      built.program->run(built.inputs, never);
      const auto bytes = results_of(built);
      if (first.empty()) first = bytes;
      expect(bytes == first, "results differ between 1 and " + std::to_string(threads) + " threads");
      if (threads != 1) continue;
      check_results(simd_level_name(level), test, c, data, attributes.get(), built);
    }
  }
  set_simd_level(best);
  Engine::instance().set_threads(2);
  if (!on_devices) return;
  for (const auto& device : devices_under_test()) run_on_device(device, test, c, data, attributes.get());
}

std::vector<NamedTest> sweep_tests() {
  std::vector<NamedTest> tests;
  for (const OpTest& test : op_tests())
    for (const OpCase& c : test.cases)
      tests.push_back({test.op + "/" + c.name, [&test, &c] { run_case(test, c); }});
  return tests;
}

std::string ops_never_run() {
  std::string missing;
  for (const auto& entry : OpRegistry::instance().all())
    if (ops_run().count(entry.first) == 0) missing += (missing.empty() ? "" : ", ") + entry.first;
  return missing;
}

}  // namespace sfr::test
