#include "ops/bf16/bf16.h"

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

template <DType FROM, DType TO>
void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", FROM);
  c.output({TO, c.input(0, "x").shape});
}

void round_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(round_bf16_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<float>(0) + i, c.out<Bf16>(0) + i, n); });
}

void widen_cpu(const KernelContext& c) {
  const auto row = SFR_DISPATCH(widen_bf16_row);
  over_elements(c, [&](int64_t i, int64_t n) { row(c.in<Bf16>(0) + i, c.out<float>(0) + i, n); });
}

void round_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "round_bf16", element_grid(count), RoundBf16Args{c.in<float>(0), c.out<Bf16>(0), count});
}

void widen_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "widen_bf16", element_grid(count), WidenBf16Args{c.in<Bf16>(0), c.out<float>(0), count});
}

}  // namespace

void register_bf16(OpRegistry& registry) {
  OpDef round = op_definition<NoAttributes>("round_bf16");
  round.infer = &infer<DType::f32, DType::bf16>;
  round.cpu = {{"rows", &round_cpu}};
  round.cuda = {{"elements", &round_cuda}};
  registry.add(std::move(round));

  OpDef widen = op_definition<NoAttributes>("widen_bf16");
  widen.infer = &infer<DType::bf16, DType::f32>;
  widen.cpu = {{"rows", &widen_cpu}};
  widen.cuda = {{"elements", &widen_cuda}};
  registry.add(std::move(widen));
}

}  // namespace sfr
