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

SFR_TEST("device/state has to be where the program runs") {
  const auto& device = devices_under_test()[0];
  const auto on_host = std::make_shared<Tensor>(TensorType{DType::f32, {4}});
  for (const bool on_device : {true, false}) {
    Graph graph;
    const ValueId p = graph.add_persistent(on_device ? on_host : device->upload(*on_host), "weight");
    const ValueId y = graph.add_node("affine", {p}, {}, "")[0];
    expect_error(
        [&] {
          Program(graph, {y}, {true, false, false, on_device ? device : nullptr});
        },
        "expected the state weight in the memory of " + (on_device ? device->name() : "the CPU"));
  }
}

SFR_TEST("device/an op without a CUDA kernel is refused by name") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::u8, {1, 4, 4, 4}});
  const ValueId y = graph.add_node("largest_component", {x}, {}, "cleaned")[0];
  expect_error(
      [&] {
        Program(graph, {y}, {true, false, false, devices_under_test()[0]});
      },
      "largest_component cleaned: expected a CUDA kernel that supports it, there is none");
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

SFR_TEST("device/ops with a CUDA kernel are those that docs/gpu.md lists") {
  const std::set<std::string> listed = {"adamw",
                                        "add",
                                        "affine",
                                        "argmax",
                                        "at_least",
                                        "batch_norm",
                                        "batch_norm_backward",
                                        "batch_norm_update",
                                        "broadcast_to",
                                        "concat",
                                        "conv3d",
                                        "conv3d_backward_input",
                                        "conv3d_backward_weight",
                                        "depth_to_space",
                                        "divide",
                                        "dot_rows",
                                        "dropout",
                                        "ema",
                                        "exp",
                                        "fill",
                                        "gaussian_noise",
                                        "gelu",
                                        "gelu_backward",
                                        "instance_norm",
                                        "instance_norm_backward",
                                        "linear",
                                        "linear_backward_input",
                                        "linear_backward_weight",
                                        "log",
                                        "matmul",
                                        "max_pool3d",
                                        "max_pool3d_backward",
                                        "mean_squared_error",
                                        "mean_squared_error_backward",
                                        "multiply",
                                        "one_hot",
                                        "pad",
                                        "relu",
                                        "relu_backward",
                                        "scale_rows",
                                        "segmentation_loss",
                                        "segmentation_loss_backward",
                                        "select_labels",
                                        "sgd",
                                        "slice",
                                        "softmax",
                                        "softmax_backward",
                                        "space_to_depth",
                                        "subtract",
                                        "sum",
                                        "sum_to"};
  std::set<std::string> found;
  for (const auto& op : OpRegistry::instance().all())
    if (!op.second.cuda.empty()) found.insert(op.first);
  for (const std::string& name : found) expect(listed.count(name) != 0, name + " has a CUDA kernel now");
  for (const std::string& name : listed) expect(found.count(name) != 0, name + " has lost its CUDA kernel");
}

SFR_TEST("libsfr_cuda/where there is none, the library that is missing and the cure are named") {
  expect_error([] { Device::load("/nowhere/libsfr_cuda.so", 0, 0); },
               "expected libsfr_cuda at /nowhere/libsfr_cuda.so");
  expect_error([] { Device::load("libc.so.6", 0, 0); }, "expected version 1 of libsfr_cuda, received none");
}

}  // namespace sfr::test
