#include "ops/box_mask/box_mask.h"

#include <algorithm>
#include <array>

#include "core/rng.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const auto& a = c.attributes<BoxMaskAttributes>();
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "rng", DType::i32);
  c.expect_shape(0, "rng", Shape{3});
  c.expect(!a.stream.empty(), "stream", "a name", "an empty one", ErrorCode::usage);
  const Shape shape(a.shape), box(a.box);
  bool fits = shape.rank() == 3 && box.rank() == 3;
  for (int i = 0; fits && i < 3; ++i) fits = box[i] >= 1 && box[i] < shape[i];
  c.expect(fits, "box", "three extents from 1 to below those of " + shape.text(), box.text());
  c.output({DType::f32, shape});
}

void box_mask_cpu(const KernelContext& c) {
  const auto& a = c.as<BoxMaskAttributes>();
  const int32_t* rng = c.in<int32_t>(0);
  const uint64_t seed = uint64_t{static_cast<uint32_t>(rng[1])} << 32 | static_cast<uint32_t>(rng[0]);
  const auto words = philox({seed, static_cast<uint32_t>(rng[2]), stream_id(a.stream)}, 0);
  std::array<int64_t, 3> begin;
  for (size_t i = 0; i < 3; ++i)
    begin[i] = static_cast<int64_t>(static_cast<double>(uniform_from_word(words[i])) *
                                    static_cast<double>(a.shape[i] - a.box[i]));
  float* y = c.out<float>(0);
  std::fill(y, y + c.outputs[0].count(), 1.0f);
  for (int64_t z = begin[0]; z < begin[0] + a.box[0]; ++z)
    for (int64_t row = begin[1]; row < begin[1] + a.box[1]; ++row)
      std::fill_n(y + (z * a.shape[1] + row) * a.shape[2] + begin[2], a.box[2], 0.0f);
}

void box_mask_cuda(const KernelContext& c) {
  const auto& a = c.as<BoxMaskAttributes>();
  BoxMaskArgs args{c.in<int32_t>(0), c.out<float>(0), {}, {}, stream_id(a.stream)};
  for (size_t i = 0; i < 3; ++i) args.shape[i] = a.shape[i], args.box[i] = a.box[i];
  launch(c, "box_mask", element_grid(c.outputs[0].count()), args);
}

}  // namespace

void register_box_mask(OpRegistry& registry) {
  OpDef op = op_definition<BoxMaskAttributes>("box_mask");
  op.infer = &infer;
  op.cpu = {{"fill", &box_mask_cpu}};
  op.cuda = {{"elements", &box_mask_cuda}};
  registry.add(std::move(op));
}

}  // namespace sfr
