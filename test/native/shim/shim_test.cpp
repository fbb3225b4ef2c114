// The launch shim: kernels run as they should, and each kind of fault is found where it was planted.
#include "core/rng.h"
#include "native/expect.h"
#include "native/shim/planted.h"
#include "native/shim/shim_device.h"

namespace sfr::test {

namespace {

constexpr size_t kElements = 512;

TensorPtr numbers() {
  auto t = std::make_shared<Tensor>(TensorType{DType::f32, {kElements}});
  for (size_t i = 0; i < kElements; ++i) reinterpret_cast<float*>(t->data())[i] = static_cast<float>(i % 97);
  return t;
}

/// y after `blocks` blocks of a planted kernel; x is an input, y the output.
std::vector<float> run(const char* kernel, uint32_t blocks) {
  Device device(shim::shim_table(), 0, 1 << 20);
  const TensorPtr host = numbers(), x = device.upload(*host), y = device.upload(*host);
  device.watch({{x->data(), x->type().bytes(), 0}, {y->data(), y->type().bytes(), 1}});
  const PlantedArgs args{reinterpret_cast<float*>(x->data()), reinterpret_cast<float*>(y->data())};
  try {
    device.launch(kernel, {blocks}, 256, &args, sizeof args);
  } catch (...) {
    device.watch({});
    throw;
  }
  device.watch({});
  Tensor back(y->type());
  device.download(*y, back);
  const auto* data = reinterpret_cast<const float*>(back.data());
  return {data, data + kElements};
}

void finds(const char* kernel, uint32_t blocks, const char* text) {
  expect_error([&] { run(kernel, blocks); }, text);
}

}  // namespace

SFR_TEST("shim/threads meet at barriers and see each other's words") {
  for (int times = 0; times < 2; ++times) {
    const auto y = run("planted_honest", 2);
    for (size_t i = 0; i < kElements; ++i)
      expect(y[i] == static_cast<float>((i / 256 * 256 + 255 - i % 256) % 97), "expected blocks reversed");
  }
}

SFR_TEST("shim/lanes of a warp exchange") {
  const auto y = run("planted_warp_sums", 1);
  for (size_t t = 0; t < 256; ++t) {
    float sum = 0;
    for (size_t lane = t / 32 * 32; lane < t / 32 * 32 + 32; ++lane) sum += static_cast<float>(lane % 97);
    expect(y[t] == sum, "expected the sum of the warp");
  }
}

SFR_TEST("shim/finds races") {
  finds("planted_no_barrier", 1, "of this block has read, without a barrier between them");
  finds("planted_no_second_barrier", 1, "without a barrier between them");
  finds("planted_blocks_meet", 2, "writes a word that thread 0 of another block has written");
  finds("planted_blocks_wait", 2, "of another block has written");
}

SFR_TEST("shim/finds threads that part at a barrier") {
  finds("planted_divergence", 1, "threads of a block part at a barrier");
  finds("planted_two_barriers", 1, "threads of a block part at a barrier");
  finds("planted_part_of_a_warp", 1, "threads of a block part at a barrier");
}

SFR_TEST("shim/finds accesses outside of what a kernel was given") {
  finds("planted_read_behind", 1, "thread 255 of block 0, 0, 0 reads 4 bytes outside of the memory");
  finds("planted_write_before", 1, "thread 0 of block 0, 0, 0 writes 4 bytes outside of the memory");
  finds("planted_write_to_input", 1, "writes to an input");
  finds("planted_atomic_behind", 1, "thread 0 of block 0, 0, 0 changes 8 bytes outside of the memory");
  finds("planted_shared_overrun", 1, "thread 64 of block 0, 0, 0 writes beside an array of shared memory");
}

SFR_TEST("shim/goes on after a fault") {
  run("planted_honest", 2);
}

SFR_TEST("shim/refuses a kernel that is not there") {
  finds("planted_nowhere", 1, "no such kernel");
}

}  // namespace sfr::test
