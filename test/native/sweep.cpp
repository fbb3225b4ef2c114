#include "sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/rng.h"
#include "graph/program.h"
#include "math/levels.h"
#include "native/devices.h"
#include "native/elements.h"
#include "native/expected.h"
#include "op_test.h"
#include "ops/elementwise/elementwise.h"

namespace sfr::test {

std::vector<OpTest>& op_tests() {
  static std::vector<OpTest> tests;
  return tests;
}

namespace {

std::set<std::string>& ops_run() {
  static std::set<std::string> ops;
  return ops;
}

/// With an operand in bf16.
std::set<std::string>& ops_run_in_bf16() {
  static std::set<std::string> ops;
  return ops;
}

void note_bf16_operands(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    const NodeTypes types = graph.node_types(node);
    bool is_bf16 = false;
    for (size_t i = 0; i < types.inputs.size(); ++i)
      is_bf16 = is_bf16 ||
                (contains(node.op->bf16_inputs, i) && types.has(i) && types.input(i).dtype == DType::bf16);
    if (is_bf16) ops_run_in_bf16().insert(node.op->name);
  }
}

/// Ops whose results or gradients are made of rounded numbers: gradients that meet the rounded result again,
/// sums over the elements that a scalar was repeated for, an update of LoRA on a rounded product.
const std::set<std::string>& rounded_on_the_way() {
  static const std::set<std::string> ops = {"attention", "divide",  "grid_attention", "linear_lora",
                                            "multiply",  "sigmoid", "tanh",           "linear_lora_backward"};
  return ops;
}

/// Of the largest value: a rounding is 2^-8 at most, and what it is subtracted from may be some times larger
/// than what is left. 0.021 were seen, of scores so large that the softmax is 1 or 0; 0.0044 apart from sums.
constexpr double kRoundedOnTheWay = 1.0 / 32;

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

/// y = x for tests. It counts as a matrix product, and so does its gradient: both give bf16 when a program
/// stores activations so, as a network's layers around an op do.
ValueId narrowed(Graph& graph, ValueId x) {
  static const bool planted = [] {
    OpDef op = OpRegistry::instance().get("affine");
    op.name = "narrow";
    op.cpu = {};
    op.in_place_inputs = {};
    op.flops = [](const NodeTypes&) { return 1.0; };
    op.gradient = [](GradientContext& c) {
      c.set(0, c.add("narrow", {c.output_gradient(0)}, AffineAttributes{})[0]);
    };
    OpRegistry::mutable_instance().add(std::move(op));
    return true;
  }();
  (void)planted;
  return graph.add_node("narrow", {x}, {}, "")[0];
}

bool is_narrowed(const OpDef& op, const OpCase& c, size_t input) {
  const InputSpec& spec = c.inputs[input];
  return contains(op.bf16_inputs, input) && spec.dtype == DType::f32 && !spec.state && !spec.absent;
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

/// On the CPU, or on a device when there is one. `narrows`: what the op takes and gives in bf16 comes from
/// and goes to a node that makes it so.
CaseProgram build(const OpTest& test, const OpCase& c, const std::vector<std::vector<double>>& data,
                  const CompileOptions& options, bool narrows = false) {
  CaseProgram built;
  Graph graph;
  const OpDef& op = OpRegistry::instance().get(test.op);
  std::vector<ValueId> in, operands;
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    const InputSpec& spec = c.inputs[i];
    built.state.push_back(nullptr);
    if (spec.absent) {
      in.push_back(kNoValue);
      operands.push_back(kNoValue);
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
    operands.push_back(narrows && is_narrowed(op, c, i) ? narrowed(graph, in.back()) : in.back());
  }
  std::vector<ValueId> results = graph.add_node(test.op, operands, c.attributes, "case");
  built.outputs = results.size();
  for (size_t o = 0; narrows && o < results.size(); ++o)
    if (contains(op.bf16_outputs, o) && graph.type(results[o]).dtype == DType::f32)
      results[o] = narrowed(graph, results[o]);
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
        set_element(*weight, k, narrows ? rounded_to_bf16(loss_weight(o, k)) : loss_weight(o, k));
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

std::vector<TensorType> output_types(const CaseProgram& built) {
  std::vector<TensorType> types;
  for (size_t o = 0; o < built.outputs; ++o) types.push_back(built.program->outputs()[o]->type());
  return types;
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

/// The bound is rounding of the f32 backward pass: 1e-3 of the largest gradient entry seen.
void check_gradients(const Expected& expected, const CaseProgram& built) {
  for (size_t g = 0; g < built.differentiated.size(); ++g) {
    const size_t input = built.differentiated[g];
    const Tensor& gradient = *built.program->outputs()[built.outputs + g];
    double largest = 1e-6;
    for (int64_t k = 0; k < gradient.type().shape.count(); ++k)
      largest = std::max(largest, std::abs(element(gradient, k)));
    for (const Slope& slope : expected.slopes[g]) {
      const double received = element(gradient, slope.at);
      expect(std::abs(slope.value - received) <= 1e-3 * std::max(largest, std::abs(slope.value)),
             "gradient of input " + std::to_string(input) + " at " + std::to_string(slope.at) +
                 ": expected " + std::to_string(slope.value) + ", received " + std::to_string(received));
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
void check_results(const std::string& where, const Expected& expected, double factor,
                   const CaseProgram& built) {
  for (size_t o = 0; o < built.outputs; ++o)
    compare(where + " output " + std::to_string(o), *built.program->outputs()[o], expected.outputs[o].data,
            expected.loop_outputs[o].data, factor);
  for (size_t i = 0; i < built.state.size(); ++i)
    if (built.state[i])
      compare(where + " state " + std::to_string(i), *built.state[i], expected.inputs[i].data,
              expected.loop_inputs[i].data, factor);
  check_gradients(expected, built);
}

/// Node by node, watched where that can be; a card runs it as one captured step as well, for the same bits
/// (the shim does so in training_step_test.cpp).
void run_on_device(const std::shared_ptr<Device>& device, const OpTest& test, const OpCase& c,
                   const std::vector<std::vector<double>>& data, const Expected& expected) {
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
    check_results(device->name(), expected, c.tolerance_factor, built);
  }
}

/// What an op makes of operands in bf16, against the same numbers in f32: the same kernel sums the same terms
/// in the same order, so nothing differs but the rounding of results, to the bit.
void run_in_bf16(const std::shared_ptr<Device>& device, const OpTest& test, const OpCase& c,
                 std::vector<std::vector<double>> data) {
  const OpDef& op = OpRegistry::instance().get(test.op);
  if (op.bf16_inputs == kNone && op.bf16_outputs == kNone) return;
  for (size_t i = 0; i < data.size(); ++i)
    for (double& x : data[i])
      if (is_narrowed(op, c, i)) x = rounded_to_bf16(x);
  const std::atomic<bool> never{false};
  CompileOptions options{true, true, false, device};
  CaseProgram wide = build(test, c, data, options, true);
  options.bf16_activations = true;
  CaseProgram half = build(test, c, data, options, true);
  note_bf16_operands(half.program->graph());
  for (CaseProgram* built : {&wide, &half}) built->program->run(built->inputs, never);
  for (size_t r = 0; r < half.program->outputs().size(); ++r) {
    const Tensor &expected = *wide.program->outputs()[r], &received = *half.program->outputs()[r];
    double largest = 0;
    const int64_t count = expected.type().shape.count();
    for (int64_t k = 0; k < count; ++k) largest = std::max(largest, std::abs(element(expected, k)));
    const double bound = rounded_on_the_way().count(test.op) != 0 ? kRoundedOnTheWay * largest : 0;
    for (int64_t k = 0; k < count; ++k) {
      const double value = element(expected, k), other = element(received, k);
      expect(other == value || other == rounded_to_bf16(value) || std::abs(other - value) <= bound,
             device->name() + " in bf16, result " + std::to_string(r) + ": expected " +
                 std::to_string(value) + " at " + std::to_string(k) + ", received " + std::to_string(other));
    }
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
  Expected expected;
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
      if (expected.outputs.empty() && expected.inputs.empty())
        expected = expectations(test, c, data, attributes.get(), output_types(built), built.differentiated);
      check_results(simd_level_name(level), expected, c.tolerance_factor, built);
    }
  }
  set_simd_level(best);
  Engine::instance().set_threads(2);
  if (!on_devices) return;
  for (const auto& device : devices_under_test()) {
    run_on_device(device, test, c, data, expected);
    run_in_bf16(device, test, c, data);
  }
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
  for (const auto& entry : OpRegistry::instance().all()) {
    const Operands declared[] = {entry.second.bf16_inputs, entry.second.bf16_outputs};
    if ((declared[0] != kNone || declared[1] != kNone) && ops_run_in_bf16().count(entry.first) == 0)
      missing += (missing.empty() ? "" : ", ") + entry.first + " in bf16";
  }
  for (const auto& entry : OpRegistry::instance().all())
    if (ops_run().count(entry.first) == 0) missing += (missing.empty() ? "" : ", ") + entry.first;
  return missing;
}

}  // namespace sfr::test
