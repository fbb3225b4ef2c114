#include "ops/log/log.h"

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::f32);
  c.output(c.input(0, "x"));
}

void over_elements(const KernelContext& c, void (*row)(const float*, float*, int64_t)) {
  const int64_t count = c.outputs[0].count(), chunks = chunk_count(count, kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    row(c.in<float>(0) + r.begin, c.out<float>(0) + r.begin, r.end - r.begin);
  });
}

void exp_cpu(const KernelContext& c) {
  over_elements(c, SFR_DISPATCH(exp_row));
}

void log_cpu(const KernelContext& c) {
  over_elements(c, SFR_DISPATCH(log_row));
}

void gradient_exp(GradientContext& c) {
  c.set(0, c.add("multiply", {c.output_gradient(0), c.output(0)})[0]);
}

void gradient_log(GradientContext& c) {
  c.set(0, c.add("divide", {c.output_gradient(0), c.input(0)})[0]);
}

}  // namespace

void register_log(OpRegistry& registry) {
  for (const bool is_log : {false, true}) {
    OpDef op = op_definition<NoAttributes>(is_log ? "log" : "exp");
    op.infer = &infer;
    op.gradient = is_log ? &gradient_log : &gradient_exp;
    op.cpu = {{"rows", is_log ? &log_cpu : &exp_cpu}};
    op.in_place_inputs = {0};
    registry.add(std::move(op));
  }
}

}  // namespace sfr
