// The engine's own guards, each seen to find a fault that is planted for it.
#include <cstring>

#include "core/rng.h"
#include "graph/program.h"
#include "graph/verify.h"
#include "native/expect.h"
#include "native/sweep.h"

namespace sfr::test {

namespace {

void infer_same(InferContext& c) {
  c.output(c.input(0, "x"));
}

void copy(const KernelContext& c) {
  std::memcpy(c.out<float>(0), c.in<float>(0), static_cast<size_t>(c.inputs[0].count()) * sizeof(float));
}

/// y = x, and one element of the output (or of the input) that is not there: -1 before the first, 0 behind
/// the last.
template <int kAt, bool kInput = false>
void copy_and_overrun(const KernelContext& c) {
  copy(c);
  float* data = kInput ? c.in<float>(0) : c.out<float>(0);
  data[kAt < 0 ? kAt : c.inputs[0].count() + kAt] = 1;
}

/// More than any other op of the tests works in.
constexpr size_t kWorkBytes = size_t{1} << 20;

/// y = x, and one element behind the work memory.
void copy_and_overrun_work(const KernelContext& c) {
  copy(c);
  static_cast<float*>(c.work)[kWorkBytes / sizeof(float)] = 1;
}

template <class T>
void triple(RefContext<T>& r) {
  for (int64_t i = 0; i < r.outputs[0].count(); ++i) r.outputs[0][i] = 3 * r.inputs[0][i];
}

OpDef faulty(const char* name, void (*run)(const KernelContext&)) {
  OpDef op = op_definition<NoAttributes>(name);
  op.infer = &infer_same;
  op.cpu = {{"faulty", run}};
  return op;
}

/// Runs the op on 16 elements: its output in the arena between two other values, or (`last`) as the result.
void run_guarded(const OpDef& op, bool last = false) {
  Graph graph;
  const TensorType type{DType::f32, Shape{16}};
  const ValueId x = graph.add_input("x", type);
  const ValueId before = graph.add_node("affine", {x}, {}, "")[0];
  const ValueId y = graph.add_node(op, {x}, std::make_shared<NoAttributes>(), "planted")[0];
  const ValueId sum = graph.add_node("sum", graph.add_node("add", {before, y}, {}, ""), {}, "")[0];
  Program program(graph, {last ? y : sum}, {true, true});
  const std::atomic<bool> never{false};
  program.run({{x, std::make_shared<Tensor>(type, true)}}, never);
}

}  // namespace

SFR_TEST("guards/an op that writes beside its output, input or work memory is named") {
  for (const bool last : {false, true}) {
    run_guarded(faulty("honest", &copy), last);
    const auto finds = [&](void (*run)(const KernelContext&), const char* text) {
      OpDef op = faulty("overrun", run);
      op.work_bytes = [](const NodeTypes&, int) { return kWorkBytes; };
      expect_error([&] { run_guarded(op, last); }, std::string("overrun planted: wrote ") + text);
    };
    finds(&copy_and_overrun<0>, "behind its output");
    finds(&copy_and_overrun<-1>, "before its output");
    finds(&copy_and_overrun<0, true>, "behind its input x");
    finds(&copy_and_overrun<-1, true>, "before its input x");
    finds(&copy_and_overrun_work, "behind its work memory");
  }
}

SFR_TEST("guards/an output element that no kernel writes is NaN") {
  OpDef op = faulty("forgetful", [](const KernelContext& c) {
    for (int64_t i = 1; i < c.inputs[0].count(); ++i) c.out<float>(0)[i] = 0;
  });
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{16}});
  const ValueId y = graph.add_node(op, {x}, std::make_shared<NoAttributes>(), "planted")[0];
  Program program(graph, {y}, {true, true});
  const std::atomic<bool> never{false};
  program.run({{x, std::make_shared<Tensor>(TensorType{DType::f32, Shape{16}})}}, never);
  const float first = reinterpret_cast<const float*>(program.outputs()[0]->data())[0];
  expect(first != first, "expected NaN where nothing was written");
}

SFR_TEST("verifier/a node that reads a value before it is computed") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{2}});
  const ValueId y = graph.add_node("affine", {x}, {}, "first")[0];
  const ValueId z = graph.add_node("affine", {y}, {}, "second")[0];
  verify_graph(graph, {z}, "build");
  std::vector<Node> swapped = {graph.nodes()[1], graph.nodes()[0]};
  graph.replace_nodes(swapped);
  expect_error([&] { verify_graph(graph, {z}, "planted"); },
               "verify after planted: affine second: reads a value before");
}

SFR_TEST("verifier/an output whose type is not what the op infers") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{2}});
  graph.add_node("affine", {x}, {}, "node");
  std::vector<Node> nodes = graph.nodes();
  nodes[0].outputs[0] = graph.add_value({DType::f32, Shape{3}}, "wrong");
  graph.replace_nodes(nodes);
  expect_error([&] { verify_graph(graph, {}, "planted"); }, "expected f32[2] for output 0, received f32[3]");
}

SFR_TEST("verifier/an output that no node computes") {
  Graph graph;
  const ValueId orphan = graph.add_value({DType::f32, Shape{}}, "orphan");
  expect_error([&] { verify_graph(graph, {orphan}, "planted"); }, "output orphan is not computed");
}

SFR_TEST("memory plan/two values that live together must not overlap") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{64}});
  const ValueId a = graph.add_node("affine", {x}, {}, "a")[0];
  const ValueId b = graph.add_node("affine", {x}, {}, "b")[0];
  const ValueId y = graph.add_node("sum", graph.add_node("add", {a, b}, {}, ""), {}, "")[0];
  MemoryPlan plan = plan_memory(graph, {y}, 0);
  verify_memory_plan(graph, plan);
  plan.values[static_cast<size_t>(b)].offset = plan.values[static_cast<size_t>(a)].offset;
  expect_error([&] { verify_memory_plan(graph, plan); }, "are alive together and overlap");
}

SFR_TEST("memory plan/values that do not live together share memory, results in place need none") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{1000}});
  ValueId v = graph.add_node("affine", {x}, {}, "")[0];
  for (int i = 0; i < 20; ++i) v = graph.add_node("affine", {v}, {}, "")[0];
  const ValueId y = graph.add_node("sum", {v}, {}, "")[0];
  const MemoryPlan plan = plan_memory(graph, {y}, 0);
  expect(plan.arena_bytes < 2 * (1000 * 4 + 2 * kGuardBytes), "21 values in a chain need the memory of one");
}

SFR_TEST("memory plan/a program follows a change of threads after compilation") {
  OpDef op = faulty("hungry", [](const KernelContext& c) {
    std::memset(c.work, 0, static_cast<size_t>(c.pool->threads()) << 16);
    copy(c);
  });
  op.work_bytes = [](const NodeTypes&, int threads) { return static_cast<size_t>(threads) << 16; };
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{16}});
  const ValueId y = graph.add_node(op, {x}, std::make_shared<NoAttributes>(), "planted")[0];
  Engine::instance().set_threads(1);
  Program program(graph, {y}, {true, true});
  const std::atomic<bool> never{false};
  for (const int threads : {1, 8, 2}) {
    Engine::instance().set_threads(threads);
    program.run({{x, std::make_shared<Tensor>(TensorType{DType::f32, Shape{16}})}}, never);
  }
}

SFR_TEST("kernels/a node that no kernel supports is refused with each kernel's reason") {
  OpDef op = faulty("picky", &copy);
  op.cpu[0].refuses = [](const NodeTypes&) -> const char* { return "only on Sundays"; };
  expect_error([&] { run_guarded(op); },
               "picky planted: expected a CPU kernel that supports it, faulty: only on Sundays");
}

SFR_TEST(
    "explain/a kernel that refuses what it should take is shown, with its reason and what runs instead") {
  OpDef op = faulty("picky", &copy);
  op.cpu = {{"fast", &copy, [](const NodeTypes&) -> const char* { return "only on Sundays"; }},
            {"slow", &copy}};
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, Shape{16}});
  const ValueId y = graph.add_node(op, {x}, std::make_shared<NoAttributes>(), "planted")[0];
  const std::string told = Program(graph, {y}, {}).explain();
  const char* wanted = "\"name\":\"planted\",\"kernel\":\"slow\",\"refused\":\"fast: only on Sundays\"";
  expect(told.find(wanted) != std::string::npos, told);
}

SFR_TEST("explain/a value that is kept too long shows in the bytes at the peak") {
  const TensorType type{DType::f32, Shape{4096}};
  const OpDef op = faulty("copied", &copy);
  const auto peak = [&](bool keeps_first) {
    Graph graph;
    const ValueId x = graph.add_input("x", type);
    const auto next = [&](ValueId v) {
      return graph.add_node(op, {v}, std::make_shared<NoAttributes>(), "")[0];
    };
    const ValueId first = next(x);
    ValueId v = next(first);
    for (int i = 0; i < 5; ++i) v = next(v);
    const ValueId late = graph.add_node("add", {v, keeps_first ? first : v}, {}, "")[0];
    const ValueId y = graph.add_node("sum", {late}, {}, "")[0];
    const std::string told = Program(graph, {y}, {false, false}).explain();
    const std::string key = "\"peakBytes\":";
    return std::stoul(told.substr(told.find(key) + key.size()));
  };
  expect(peak(true) == peak(false) + type.bytes() + kGuardBytes, "one value more at the peak");
}

SFR_TEST("sweep/a kernel that is wrong in one element, and one whose gradient is wrong, are found") {
  // Twice the value instead of three times it at the last element; a gradient rule that forgets the factor.
  OpDef wrong_value = faulty("planted_value", [](const KernelContext& c) {
    const int64_t count = c.inputs[0].count();
    for (int64_t i = 0; i < count; ++i) c.out<float>(0)[i] = (i + 1 == count ? 2 : 3) * c.in<float>(0)[i];
  });
  OpDef wrong_gradient = faulty("planted_gradient", [](const KernelContext& c) {
    for (int64_t i = 0; i < c.inputs[0].count(); ++i) c.out<float>(0)[i] = 3 * c.in<float>(0)[i];
  });
  wrong_gradient.gradient = [](GradientContext& c) { c.set(0, c.output_gradient(0)); };
  OpRegistry::mutable_instance().add(wrong_value);
  OpRegistry::mutable_instance().add(wrong_gradient);
  const OpCase c{"planted", {}, {{{7, 11}}}};
  const auto finds = [&](const char* op, const char* message) {
    const OpTest test{
        op, [](RefContext<double>& r) { triple(r); }, [](RefContext<float>& r) { triple(r); }, {}};
    try {
      run_case(test, c);
    } catch (const std::exception& error) {
      return std::string(error.what()).find(message) != std::string::npos;
    }
    return false;
  };
  expect(finds("planted_value", "output 0: expected"), "the wrong element went unnoticed");
  expect(finds("planted_gradient", "gradient of input 0"), "the wrong gradient went unnoticed");
  OpRegistry::mutable_instance().remove("planted_value");
  OpRegistry::mutable_instance().remove("planted_gradient");
}

SFR_TEST("random/philox equals the published vectors") {
  const auto zero = philox({0, 0, 0}, 0);
  expect(zero == std::array<uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u},
         "counter 0, key 0");
  const auto ones = philox({UINT64_MAX, UINT32_MAX, UINT32_MAX}, UINT64_MAX);
  expect(ones == std::array<uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}, "all bits set");
}

}  // namespace sfr::test
