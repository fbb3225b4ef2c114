// sfr_onnx_bench <libonnxruntime> <sam.onnx> [options]: canvases per second of a SAM that `sfr export` wrote,
// in ONNX Runtime by its C interface, without Node: volume -> stitch -> ONNX Runtime -> un-stitch -> logits
// of the volume. One line of JSON for each place of canvas and logits: the host's memory, and with --cuda the
// card's as well, from which ONNX Runtime reads and writes in place on our stream.
//   --cuda libsfr_cuda.so   run the network, and the stitching where its kernels allow, on card 0
//   --memory BYTES          most that ONNX Runtime may take of the card
//   --tf32                  products with 10 bits of mantissa
//   --graph                 replay the network as one captured graph; card's memory only
//   --slices N              of the volume, default 80
//   --runs N                timed ones, default 5
// Status 1: refused, with a sentence; 2: wrong usage; 3: there is no card.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "graph/program.h"
#include "onnxruntime/session.h"

namespace {

using namespace sfr;

constexpr int kWarmUp = 3;  // a captured graph is replayed from the third run on
constexpr int kRefused = 1, kUsage = 2, kNoCard = 3;

struct Options {
  ort::SessionSettings session;
  ort::CudaOptions cuda;
  std::string device;
  int64_t slices = 80, runs = 5;
};

/// Extents of the canvas and of the network's logits at a quarter of it.
struct Extents {
  int64_t canvas, classes, quarter;
};

/// A volume to a canvas, and logits back to the volume, as two programs; canvas and logits stay in the memory
/// of the device, or of the host without one.
class Stitching {
 public:
  /// Throws Error(device) where the device has no kernel for it.
  Stitching(const Extents& e, int64_t slices, const std::shared_ptr<Device>& device) {
    const auto grid = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(slices))));
    const int64_t side = e.canvas / grid;
    const auto number = [](int64_t value) { return static_cast<double>(value); };
    const AttributeMap plan = {{"canvas", number(e.canvas)},
                               {"canvases", 1.0},
                               {"slices", number(slices)},
                               {"sliceHeight", number(side)},
                               {"sliceWidth", number(side)},
                               {"rows", number(grid)},
                               {"cols", number(grid)},
                               {"tileHeight", number(side)},
                               {"tileWidth", number(side)},
                               {"originY", 0.0},
                               {"originX", 0.0},
                               {"frontSlices", 0.0}};
    volume_ = std::make_shared<Tensor>(TensorType{DType::f32, {1, slices, side, side}});
    auto* voxels = volume_->view().as<float>();
    for (int64_t i = 0; i < volume_->type().shape.count(); ++i)
      voxels[i] = static_cast<float>(std::sin(1.7 * static_cast<double>(i)));
    canvas = state({DType::f32, {1, e.canvas, e.canvas}}, device);
    logits = state({DType::f32, {e.classes, e.quarter, e.quarter, 1}}, device);
    CompileOptions options;
    options.device = device;

    Graph before;
    input_ = before.add_input("volume", volume_->type());
    zero_ = before.add_input("zero", {DType::f32, Shape{}});
    const ValueId stitched = before.add_node("stitch", {input_}, plan, "stitch")[0];
    // An average with no share of what was there: a state that takes a value.
    before.add_node("ema", {zero_, before.add_persistent(canvas, "canvas"), stitched}, {}, "keep");
    to_canvas_ = std::make_unique<Program>(before, std::vector<ValueId>{}, options);

    Graph after;
    const std::vector<double> size = {number(e.canvas), number(e.canvas)};
    const ValueId small = after.add_persistent(logits, "logits");
    const ValueId full = after.add_node("resize_bilinear", {small}, {{"size", size}}, "resize")[0];
    const ValueId volumes = after.add_node("unstitch", {full}, plan, "unstitch")[0];
    to_volume_ = std::make_unique<Program>(after, std::vector<ValueId>{volumes}, options);
  }

  void to_canvas() { to_canvas_->run({{input_, volume_}, {zero_, zero_value_}}, never_); }
  /// Logits of the volume: a volume for each class.
  const Tensor& to_volume() {
    to_volume_->run({}, never_);
    return *to_volume_->outputs()[0];
  }

  TensorPtr canvas, logits;

 private:
  static TensorPtr state(const TensorType& type, const std::shared_ptr<Device>& device) {
    auto host = std::make_shared<Tensor>(type);
    return device ? device->upload(*host) : host;
  }

  TensorPtr volume_, zero_value_ = std::make_shared<Tensor>(TensorType{DType::f32, Shape{}});
  ValueId input_ = kNoValue, zero_ = kNoValue;
  std::unique_ptr<Program> to_canvas_, to_volume_;
  const std::atomic<bool> never_{false};
};

/// Times volumes through canvases in one place.
void measure(const Options& options, const std::shared_ptr<Device>& device, const char* place) {
  ort::SessionSettings settings = options.session;
  ort::Session session(settings);
  const std::vector<int64_t> in = session.inputs().at(0).shape, out = session.outputs().at(0).shape;
  const Extents extents{in.at(3), out.at(1), out.at(2)};
  Stitching stitching(extents, options.slices, device);
  const ort::Place memory = device ? ort::Place::cuda : ort::Place::host;
  const auto bound = [&](const ort::Port& port, const TensorPtr& tensor, const Shape& shape) {
    return ort::BoundTensor{port.name, {DType::f32, shape}, tensor->data(), memory};
  };
  const std::vector<ort::BoundTensor> inputs = {
      bound(session.inputs()[0], stitching.canvas, {1, 1, extents.canvas, extents.canvas})};
  const std::vector<ort::BoundTensor> outputs = {
      bound(session.outputs()[0], stitching.logits, {1, extents.classes, extents.quarter, extents.quarter})};
  std::vector<double> seconds;
  double sum = 0;
  for (int64_t i = 0; i < kWarmUp + options.runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    stitching.to_canvas();
    session.run(inputs, outputs);
    const Tensor& volume = stitching.to_volume();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (i >= kWarmUp) seconds.push_back(taken.count());
    sum = 0;
    for (int64_t v = 0; v < volume.type().shape.count(); v += 101) sum += volume.view().as<float>()[v];
  }
  std::sort(seconds.begin(), seconds.end());
  const bool cuda = settings.cuda.has_value();
  std::printf(
      "{\"work\":\"sam "
      "canvases\",\"device\":\"%s\",\"memory\":\"%s\",\"tf32\":%s,\"graph\":%s,\"canvas\":%lld,"
      "\"classes\":%lld,\"canvasesPerSecond\":%.4g,\"median\":%.4g,\"min\":%.4g,\"max\":%.4g,\"sum\":%.7g}\n",
      cuda ? "cuda:0" : "cpu", place, cuda && settings.cuda->tf32 ? "true" : "false",
      cuda && settings.cuda->graph ? "true" : "false", static_cast<long long>(extents.canvas),
      static_cast<long long>(extents.classes), 1 / seconds[seconds.size() / 2], seconds[seconds.size() / 2],
      seconds.front(), seconds.back(), sum);
}

/// False when a word is none of ours.
bool read_words(int argc, char** argv, Options& options) {
  if (argc < 3) return false;
  options.session.library = argv[1], options.session.model = argv[2];
  options.session.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--tf32")
      options.cuda.tf32 = true;
    else if (word == "--graph")
      options.cuda.graph = true;
    else if (i + 1 == argc)
      return false;
    else if (word == "--cuda")
      options.device = argv[++i];
    else if (word == "--memory")
      options.cuda.memory_bytes = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--slices")
      options.slices = std::max(1ll, std::atoll(argv[++i]));
    else if (word == "--runs")
      options.runs = std::max(1ll, std::atoll(argv[++i]));
    else
      return false;
  }
  return true;
}

int run(Options& options) {
  if (options.device.empty()) {
    measure(options, nullptr, "host");
    return 0;
  }
  std::shared_ptr<Device> device;
  try {
    device = Device::load(options.device, 0, 0);
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
    return kNoCard;
  }
  options.session.cuda = options.cuda;
  options.session.cuda->graph = false;  // it cannot read the host's memory
  measure(options, nullptr, "host");
  options.session.cuda->graph = options.cuda.graph;
  options.session.cuda->stream = device->stream();
  measure(options, device, "cuda");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!read_words(argc, argv, options)) {
    std::printf(
        "usage: sfr_onnx_bench <libonnxruntime> <sam.onnx> [--cuda libsfr_cuda.so] [--memory BYTES] "
        "[--tf32] [--graph] [--slices N] [--runs N]\n");
    return kUsage;
  }
  try {
    return run(options);
  } catch (const Error& error) {
    std::printf("%s\n", error.what());
    return kRefused;
  }
}
