#include "native/sam_step.h"

#include <cmath>

namespace sfr::test {

namespace {

/// What LoRA leaves alone, and what is trained: updates and decoder.
const char* const kFrozen = "frozen";
const char* const kTrained = "trained";

}  // namespace

SamStep::SamStep(const SamSize& size, const std::shared_ptr<Device>& device, StepRun run)
    : TrainingStep(device), size_(size) {
  const int64_t side = size.canvas;
  const ValueId labels = add_labels({size.batch, side, side});
  const ValueId canvases = input("canvases", normals({size.batch, side, side}, "canvases", 0, 1));
  const ValueId loss = supervised_loss(mask_decoder(image_encoder(canvases)), labels);
  add_adamw(kTrained, loss);
  compile(loss, run, size.bf16_activations);
}

ValueId SamStep::norm(const std::string& net, const std::string& name, ValueId x) {
  const Shape channels{shape(x).back()};
  const ValueId weight = parameter(net, name + "/weight", channels, 1);
  return node("layer_norm", {x, weight, parameter(net, name + "/bias", channels)}, {{"epsilon", 1e-6}});
}

/// [in, out], rounded to bf16 where frozen weights are.
ValueId SamStep::frozen_weight(const std::string& name, const Shape& shape) {
  if (!size_.bf16) return parameter(kFrozen, name, shape);
  return half_constant(kFrozen + name, shape, 1 / std::sqrt(static_cast<double>(shape[0])));
}

/// A frozen linear layer with updates of the channels that begin there, as wide as the input.
ValueId SamStep::updated_linear(const std::string& name, ValueId x, int64_t out,
                                const std::vector<double>& begins) {
  const int64_t in = shape(x).back(), width = begins.size() > 1 ? in : out;
  std::vector<ValueId> inputs = {x, frozen_weight(name + "/weight", {in, out}),
                                 parameter(kFrozen, name + "/bias", {out})};
  for (size_t i = 0; i < begins.size(); ++i) {
    const std::string number = std::to_string(i);
    inputs.push_back(parameter(kTrained, name + "/a" + number, {in, size_.rank}));
    inputs.push_back(parameter(kTrained, name + "/b" + number, {size_.rank, width}));
  }
  return node("linear_lora", inputs, {{"begins", begins}});
}

/// Tokens [N, G, G, C].
ValueId SamStep::encoder_block(const std::string& name, ValueId x, bool is_global) {
  const int64_t width = size_.width, grid = shape(x)[1], window = is_global ? 0 : size_.window;
  const std::vector<double> q_and_v = {0, 2.0 * static_cast<double>(width)};
  const ValueId qkv = updated_linear(name + "/qkv", norm(kFrozen, name + "/norm1", x), 3 * width, q_and_v);
  const Shape table{2 * (is_global ? grid : window) - 1, width / size_.heads};
  const ValueId attended =
      node("grid_attention",
           {qkv, constant(kFrozen + name + "/padding", {3 * width}, 0, 0.3),
            constant(kFrozen + name + "/rel_h", table, 0, 0.3),
            constant(kFrozen + name + "/rel_w", table, 0, 0.3)},
           {{"heads", static_cast<double>(size_.heads)}, {"window", static_cast<double>(window)}});
  const ValueId weight = frozen_weight(name + "/proj/weight", {width, width});
  const ValueId y =
      node("add", {x, node("linear", {attended, weight, parameter(kFrozen, name + "/proj/bias", {width})})});
  const ValueId hidden = updated_linear(name + "/lin1", norm(kFrozen, name + "/norm2", y), 4 * width, {0});
  return node("add", {y, updated_linear(name + "/lin2", node("gelu", {hidden}), width, {0})});
}

/// Canvases [N, S, S] -> embedding [N, G, G, decoder_width].
ValueId SamStep::image_encoder(ValueId canvases) {
  const int64_t n = size_.batch, side = size_.canvas, patch = size_.patch, grid = side / patch;
  const ValueId gray = reshape(canvases, {n, 1, side, side, 1});
  const ValueId rgb = node("concat", {gray, gray, gray}, {{"axis", 4.0}});
  const std::vector<double> block = {1, static_cast<double>(patch), static_cast<double>(patch)};
  const ValueId patches = node("space_to_depth", {rgb}, {{"block", block}});
  ValueId x = reshape(linear(kFrozen, "/patch", patches, size_.width), {n, grid, grid, size_.width});
  x = node("add", {x, constant(std::string(kFrozen) + "/position", {grid, grid, size_.width}, 0, 0.3)});
  for (int64_t i = 0; i < size_.depth; ++i) x = encoder_block("/block" + std::to_string(i), x, i % 2 == 1);
  const int64_t out = size_.decoder_width;
  const ValueId neck = parameter(kFrozen, "/neck0/weight", {size_.width, out});
  x = norm(kFrozen, "/neck1", node("linear", {x, neck}));
  const ValueId filter = parameter(kFrozen, "/neck2/weight", {1, 3, 3, out, out});
  const ValueId y = node("conv3d", {reshape(x, {n, 1, grid, grid, out}), filter});
  return norm(kFrozen, "/neck3", reshape(y, {n, grid, grid, out}));
}

ValueId SamStep::attend(const std::string& name, ValueId q, ValueId k, ValueId v, int64_t inner) {
  const auto projected = [&](const char* key, ValueId x) { return linear(kTrained, name + key, x, inner); };
  const ValueId out = node("attention", {projected("/q", q), projected("/k", k), projected("/v", v)},
                           {{"heads", static_cast<double>(size_.decoder_heads)}});
  return linear(kTrained, name + "/out", out, shape(q).back());
}

/// [N, H, W, C] -> [N, 2 H, 2 W, out].
ValueId SamStep::up(const std::string& name, ValueId x, int64_t out) {
  const Shape s = shape(x);
  const ValueId wide = node("linear", {reshape(x, {s[0], 1, s[1], s[2], s[3]}),
                                       parameter(kTrained, name + "/weight", {s[3], 4 * out})});
  const std::vector<double> block = {1, 2, 2};
  const ValueId y =
      node("depth_to_space", {wide, parameter(kTrained, name + "/bias", {out})}, {{"block", block}});
  return reshape(y, {s[0], 2 * s[1], 2 * s[2], out});
}

/// Queries [N, 1 + K, C] -> a kernel per class [N, K, C / 8].
ValueId SamStep::mask_kernels(ValueId queries) {
  std::vector<ValueId> kernels;
  for (int64_t k = 0; k < size_.classes; ++k) {
    const std::string name = "/hyper" + std::to_string(k);
    ValueId x =
        node("slice", {queries},
             {{"axis", 1.0}, {"begin", 1.0 + static_cast<double>(k)}, {"end", 2.0 + static_cast<double>(k)}});
    for (const char* layer : {"/0", "/1"})
      x = node("relu", {linear(kTrained, name + layer, x, size_.decoder_width)});
    kernels.push_back(linear(kTrained, name + "/2", x, size_.decoder_width / 8));
  }
  return node("concat", kernels, {{"axis", 1.0}});
}

/// One layer of the two-way transformer, upscaling and masks: logits [N, S / 4, S / 4, K].
ValueId SamStep::mask_decoder(ValueId image) {
  const int64_t n = size_.batch, grid = shape(image)[1], width = size_.decoder_width;
  const double side = static_cast<double>(grid);
  const ValueId matrix = constant(std::string(kFrozen) + "/gaussian", {2, width / 2}, 0, 1);
  const ValueId fourier = node("fourier_positions", {matrix}, {{"size", std::vector<double>{side, side}}});
  const ValueId positions = reshape(fourier, {grid * grid, width});
  const ValueId table =
      node("concat",
           {parameter(kTrained, "/iou", {1, width}), parameter(kTrained, "/masks", {size_.classes, width})},
           {{"axis", 0.0}});
  const std::vector<double> tokens_shape = {static_cast<double>(n), 1.0 + static_cast<double>(size_.classes),
                                            static_cast<double>(width)};
  const ValueId tokens = node("broadcast_to", {table}, {{"shape", tokens_shape}});
  const ValueId dense = parameter(kTrained, "/no_mask", {width});
  ValueId keys = reshape(node("add", {image, dense}), {n, grid * grid, width});
  ValueId queries = norm(kTrained, "/norm1", attend("/self", tokens, tokens, tokens, width));
  const auto placed = [&](ValueId x, ValueId where) { return node("add", {x, where}); };
  const ValueId to_image =
      attend("/to_image", placed(queries, tokens), placed(keys, positions), keys, width / 2);
  queries = norm(kTrained, "/norm2", node("add", {queries, to_image}));
  const ValueId hidden = node("relu", {linear(kTrained, "/lin1", queries, size_.decoder_mlp)});
  queries = norm(kTrained, "/norm3", node("add", {queries, linear(kTrained, "/lin2", hidden, width)}));
  const ValueId to_token =
      attend("/to_token", placed(keys, positions), placed(queries, tokens), queries, width / 2);
  keys = norm(kTrained, "/norm4", node("add", {keys, to_token}));
  ValueId y = up("/up0", reshape(keys, {n, grid, grid, width}), width / 4);
  y = up("/up1", node("gelu", {norm(kTrained, "/up_norm", y)}), width / 8);
  const ValueId pixels = reshape(node("gelu", {y}), {n, 16 * grid * grid, width / 8});
  const ValueId masks = node("matmul", {pixels, mask_kernels(queries)}, {{"transposeB", true}});
  return reshape(masks, {n, 4 * grid, 4 * grid, size_.classes});
}

}  // namespace sfr::test
