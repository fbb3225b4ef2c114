// Devices, their memory and libsfr_cuda: on the launch shim's table, and on tables that fail as drivers do.
#include <cstring>
#include <set>

#include "graph/program.h"
#include "native/devices.h"
#include "native/expect.h"
#include "native/shim/shim_device.h"

namespace sfr::test {

namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::shared_ptr<MemoryPool> pool(size_t budget) {
  return std::make_shared<MemoryPool>(shim::shim_table(), budget);
}

/// A driver that has `left` allocations to give.
int left = 0;
SfrDeviceTable scarce_table() {
  SfrDeviceTable table = shim::shim_table();
  table.allocate = [](size_t bytes, void** memory) {
    return left-- > 0 ? shim::shim_table().allocate(bytes, memory) : 2;
  };
  return table;
}

/// A driver that counts what it was asked for of pinned memory.
int pinned_blocks = 0;
SfrDeviceTable counting_table() {
  SfrDeviceTable table = shim::shim_table();
  table.allocate_pinned = [](size_t bytes, void** memory) {
    ++pinned_blocks;
    return shim::shim_table().allocate_pinned(bytes, memory);
  };
  return table;
}

/// A driver that refuses launches for a while.
bool refuses_launches = false;
SfrDeviceTable moody_table() {
  SfrDeviceTable table = shim::shim_table();
  table.launch = [](const char* kernel, const uint32_t grid[3], uint32_t block, const void* args,
                    size_t args_bytes, void* stream) {
    return refuses_launches ? 1 : shim::shim_table().launch(kernel, grid, block, args, args_bytes, stream);
  };
  return table;
}

}  // namespace

SFR_TEST("device memory/a block that was given back is handed out again") {
  const auto memory = pool(64 * kMiB);
  DeviceBytes a = memory->allocate(1000);
  const std::byte* first = a.get();
  a.reset();
  expect(memory->bytes_in_use() == 0 && memory->bytes_kept() == 1024,
         "expected one block of 1024 bytes kept");
  expect(memory->allocate(1024).get() == first, "expected the same block");
  DeviceBytes b = memory->allocate(1024), c = memory->allocate(1024);
  expect(b.get() != c.get(), "expected two blocks");
}

SFR_TEST("device memory/what is kept makes room for what is needed") {
  const size_t before = shim::bytes_allocated();
  {
    const auto memory = pool(8 * kMiB);
    memory->allocate(3 * kMiB).reset();
    expect(memory->bytes_kept() == 4 * kMiB, "expected large blocks in steps of 2 MiB");
    const DeviceBytes large = memory->allocate(8 * kMiB);
    expect(memory->bytes_kept() == 0 && memory->bytes_in_use() == 8 * kMiB,
           "expected the kept block released");
  }
  expect(shim::bytes_allocated() == before, "expected everything released with the pool");
}

SFR_TEST("device memory/a block outlives the pool's other owners") {
  DeviceBytes block;
  {
    const auto memory = pool(8 * kMiB);
    block = memory->allocate(100);
  }
  std::memset(block.get(), 0, 100);
}

SFR_TEST("device memory/beyond the budget, the need and the budget are named") {
  const auto memory = pool(8 * kMiB);
  const DeviceBytes some = memory->allocate(2 * kMiB);
  expect_error(
      [&] { memory->allocate(8 * kMiB); },
      "expected 8388608 more bytes, received none: 2097152 of a budget of 8388608 bytes are in use;");
}

SFR_TEST("device memory/a driver that has no more is asked again without the kept blocks") {
  const SfrDeviceTable table = scarce_table();
  left = 1;
  const auto memory = std::make_shared<MemoryPool>(table, 64 * kMiB);
  expect_error([&] { const DeviceBytes a = memory->allocate(kMiB), b = memory->allocate(kMiB); },
               "are in use and the card has no more");
  left = 0;
  expect_error([&] { memory->allocate(512); }, "the card has no more");
  expect(memory->bytes_kept() == 0, "expected kept blocks released before giving up");
}

SFR_TEST("device/tensors of any size come and go through one block of pinned memory") {
  const SfrDeviceTable table = counting_table();
  Device device(table, 0, 64 * kMiB);
  pinned_blocks = 0;
  for (const size_t words : {size_t{3}, 5 * kMiB + 1}) {
    Tensor there({DType::i32, {static_cast<int64_t>(words)}}), back(there.type());
    auto* numbers = reinterpret_cast<int32_t*>(there.data());
    for (size_t i = 0; i < words; ++i) numbers[i] = static_cast<int32_t>(i * 7919);
    device.download(*device.upload(there), back);
    expect(std::memcmp(there.data(), back.data(), there.type().bytes()) == 0, "expected what was sent");
  }
  expect(pinned_blocks == 1, "expected 1 block, received " + std::to_string(pinned_blocks));
}

SFR_TEST("device/a program that does not fit its budget says so") {
  const auto device = std::make_shared<Device>(shim::shim_table(), 0, 4 * kMiB);
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {kMiB}});
  const ValueId y = graph.add_node("affine", {x}, {}, "")[0];
  const std::atomic<bool> never{false};
  expect_error(
      [&] {
        Program program(graph, {y}, {true, false, false, device});
        program.run({{x, std::make_shared<Tensor>(graph.type(x))}}, never);
      },
      "of a budget of 4194304 bytes");
}

SFR_TEST("device/the CPU runs on no state that lies on a device") {
  const auto& device = devices_under_test()[0];
  const Tensor on_host({DType::f32, {4}});
  Graph graph;
  const ValueId p = graph.add_persistent(device->upload(on_host), "weight");
  const ValueId y = graph.add_node("affine", {p}, {}, "")[0];
  expect_error([&] { Program(graph, {y}, {}); },
               "expected the state weight in host memory, received it elsewhere");
}

SFR_TEST("device/state whose home is the host follows the program that changes it") {
  const auto state = std::make_shared<Tensor>(TensorType{DType::f32, {2}});
  const auto half = std::make_shared<Tensor>(TensorType{DType::f32, Shape{}});
  *half->view().as<float>() = 0.5f;
  const auto student = std::make_shared<Tensor>(TensorType{DType::f32, {2}});
  student->view().as<float>()[0] = student->view().as<float>()[1] = 16;
  const auto step = [&](const std::shared_ptr<Device>& device) {
    Graph graph;
    const ValueId alpha = graph.add_input("alpha", half->type());
    const ValueId teacher = graph.add_persistent(state, "teacher");
    graph.add_node("ema", {alpha, teacher, graph.add_persistent(student, "student")}, {}, "");
    return std::make_pair(
        std::make_unique<Program>(graph, std::vector<ValueId>{}, CompileOptions{true, false, false, device}),
        alpha);
  };
  const auto on_device = step(devices_under_test()[0]), again = step(devices_under_test()[0]),
             on_cpu = step(nullptr);
  const std::atomic<bool> never{false};
  const auto run = [&](const auto& program) { program.first->run({{program.second, half}}, never); };
  const auto expect_state = [&](float value) {
    expect(state->view().as<float>()[1] == value, "expected " + std::to_string(value) + ", received " +
                                                      std::to_string(state->view().as<float>()[1]));
  };
  run(on_device);  // 8
  run(again);      // 12
  expect_state(12);
  run(on_cpu);  // 14
  run(on_device);
  expect_state(15);
  state->view().as<float>()[1] = 0;
  run(on_device);
  run(on_cpu);
  expect_state(12);
}

SFR_TEST("device/an op without a CUDA kernel is refused by name") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::u8, {1, 4, 4, 4}});
  const ValueId y = graph.add_node("fill_holes", {x}, {}, "cleaned")[0];
  expect_error(
      [&] {
        Program(graph, {y}, {true, false, false, devices_under_test()[0]});
      },
      "fill_holes cleaned: expected a CUDA kernel that supports it, there is none");
}

SFR_TEST("device/a program that was cancelled before it began runs later") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {3}});
  const ValueId y = graph.add_node("affine", {x}, {{"factor", 2.0}}, "")[0];
  Program program(graph, {y}, {true, false, false, devices_under_test()[0]});
  const auto input = std::make_shared<Tensor>(graph.type(x));
  input->view().as<float>()[2] = 21;
  const std::atomic<bool> stop{true}, never{false};
  expect_error([&] { program.run({{x, input}}, stop); }, "stopped on request");
  program.run({{x, input}}, never);
  expect(program.outputs()[0]->view().as<float>()[2] == 42, "expected 42");
}

SFR_TEST("device/a program whose capture was refused runs later, and so do others") {
  const SfrDeviceTable table = moody_table();
  const auto device = std::make_shared<Device>(table, 0, 8 * kMiB);
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {3}});
  const ValueId y = graph.add_node("affine", {x}, {{"factor", 2.0}}, "")[0];
  const CompileOptions options{true, false, false, device};
  Program refused(graph, {y}, options), other(graph, {y}, options);
  const auto input = std::make_shared<Tensor>(graph.type(x));
  input->view().as<float>()[2] = 21;
  const std::atomic<bool> never{false};
  refuses_launches = true;
  expect_error([&] { refused.run({{x, input}}, never); }, "expected affine_elements to succeed");
  refuses_launches = false;
  for (Program* program : {&other, &refused}) {
    program->run({{x, input}}, never);
    expect(program->outputs()[0]->view().as<float>()[2] == 42, "expected 42");
  }
}

SFR_TEST("device/nodes are timed where that was asked for") {
  for (const bool timed : {true, false}) {
    Graph graph;
    const ValueId x = graph.add_input("x", {DType::f32, {1000}});
    const ValueId y = graph.add_node("affine", {x}, {{"factor", 2.0}}, "")[0];
    Program program(graph, {y}, {true, false, false, devices_under_test()[0], timed});
    const std::atomic<bool> never{false};
    program.run({{x, std::make_shared<Tensor>(graph.type(x))}}, never);
    const bool is_zero = program.explain().find("\"seconds\":0,") != std::string::npos ||
                         program.explain().find("\"seconds\":0}") != std::string::npos;
    expect(is_zero != timed,
           "expected the node's time where it was asked for, received " + program.explain());
  }
}

SFR_TEST("device/ops without a CUDA kernel are those that docs/gpu.md names") {
  // Data preparation, cleaning of labels and metrics: programs of their own, on the CPU.
  const std::set<std::string> named = {"class_surfaces",  "crop_rot_flip",         "downsample_majority",
                                       "downsample_mean", "drop_small_components", "fill_holes",
                                       "intensity_map",   "overlap_counts",        "rot_flip_canvas",
                                       "standardize",     "surface_distances"};
  std::string unnamed, superfluous;
  std::set<std::string> lacking;
  for (const auto& op : OpRegistry::instance().all())
    if (op.second.cuda.empty() && !op.second.is_view) lacking.insert(op.first);
  for (const std::string& name : lacking) unnamed += named.count(name) == 0 ? " " + name : "";
  for (const std::string& name : named) superfluous += lacking.count(name) == 0 ? " " + name : "";
  expect(unnamed.empty(), "ops without a CUDA kernel that nobody names:" + unnamed);
  expect(superfluous.empty(), "ops that have a CUDA kernel now, or are gone:" + superfluous);
}

SFR_TEST("libsfr_cuda/where there is none, the library that is missing and the cure are named") {
  expect_error([] { Device::load("/nowhere/libsfr_cuda.so", 0, 0); },
               "expected libsfr_cuda at /nowhere/libsfr_cuda.so");
  expect_error([] { Device::load("libc.so.6", 0, 0); }, "expected version 2 of libsfr_cuda, received none");
}

}  // namespace sfr::test
