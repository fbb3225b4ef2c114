#include "ops/signed_distance/signed_distance.h"

#include <algorithm>

#include "device/launch.h"
#include "graph/graph.h"
#include "math/nearest_marks.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const int64_t classes = c.attributes<SignedDistanceAttributes>().classes;
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "labels", DType::u8);
  c.expect_rank(0, "labels", 4);
  c.expect(classes >= 2 && classes <= kIgnoredLabel, "classes", "2 to 255", std::to_string(classes),
           ErrorCode::usage);
  std::vector<int64_t> extents = c.input(0, "labels").shape.extents();
  extents.push_back(classes - 1);
  c.output({DType::f32, Shape(extents)});
}

/// A class of one sample, what is outside it, and how far each voxel is from the other of the two.
struct Work {
  Marks inside, outside;
  NearestWork nearest;
  float* distances;  // of either
  Work(Carver& carver, const Extents& e, int threads)
      : inside(carve_marks(carver, e)),
        outside(carve_marks(carver, e)),
        nearest(carver, e, threads),
        distances(carver.take<float>(e[0] * e[1] * e[2])) {}
};

Extents extents_of(const Shape& labels) {
  return {labels[1], labels[2], labels[3]};
}

size_t work_bytes(const NodeTypes& types, int threads) {
  Carver carver(nullptr);
  Work(carver, extents_of(types.input(0).shape), threads);
  return carver.used();
}

/// Adds factor * distance of the marks of `from` to those of `to`, divided by the largest, to y, whose voxels
/// are `pitch` apart. Distances below `least` count as 0.
void add_distances(ThreadPool& pool, const Work& w, const Marks& from, const Marks& to, float least,
                   float factor, float* y, int64_t pitch) {
  nearest_distances(pool, from, to, {1, 1, 1}, w.nearest, w.distances);
  const int64_t rows = from.depth * from.height;
  const float largest = *std::max_element(w.distances, w.distances + from.starts[rows]);
  over_rows(pool, from, [&](int64_t i) {
    const float* distance = w.distances + from.starts[i];
    over_marks(from, i, [&](int64_t x) {
      if (*distance >= least) y[(i * from.width + x) * pitch] = factor * (*distance / largest);
      ++distance;
    });
  });
}

/// The map of a class in one sample [D, H, W].
void fill_map(ThreadPool& pool, const Work& w, const uint8_t* labels, int64_t label, float* y,
              int64_t pitch) {
  const int64_t rows = w.inside.depth * w.inside.height, width = w.inside.width;
  const auto mark = SFR_DISPATCH(mark_equal);
  mark_rows(pool, w.inside, [&](int64_t i, uint64_t* words) {
    return mark(labels + i * width, width, static_cast<uint8_t>(label), words);
  });
  mark_rows(pool, w.outside, [&](int64_t i, uint64_t* words) {
    const int64_t ignored = mark(labels + i * width, width, kIgnoredLabel, words);
    const uint64_t* inside = w.inside.words + i * w.inside.row_words;
    for (int64_t word = 0; word < w.inside.row_words; ++word) words[word] = ~(inside[word] | words[word]);
    if (width % 64 != 0) words[width / 64] &= (uint64_t{1} << width % 64) - 1;
    return width - ignored - (w.inside.starts[i + 1] - w.inside.starts[i]);
  });
  for (int64_t i = 0; i < rows * width; ++i) y[i * pitch] = 0;
  if (w.inside.starts[rows] == 0 || w.outside.starts[rows] == 0) return;
  add_distances(pool, w, w.outside, w.inside, 1, 1, y, pitch);
  // At 1 a face neighbour is outside the class: that is its border.
  add_distances(pool, w, w.inside, w.outside, 1.1f, -1, y, pitch);
}

void signed_distance_cpu(const KernelContext& c) {
  const int64_t classes = c.as<SignedDistanceAttributes>().classes, maps = classes - 1;
  const Shape& s = c.inputs[0].type.shape;
  Carver carver(c.work);
  const Work work(carver, extents_of(s), c.pool->threads());
  for (int64_t sample = 0; sample < s[0]; ++sample)
    for (int64_t label = 1; label < classes; ++label)
      fill_map(*c.pool, work, c.in<uint8_t>(0) + sample * s.count(1, 4), label,
               c.out<float>(0) + sample * s.count(1, 4) * maps + label - 1, maps);
}

size_t cuda_work_bytes(const NodeTypes& t) {
  const Shape& labels = t.input(0).shape;
  return static_cast<size_t>(4 * labels.count() + 2 * labels[0]) * sizeof(int32_t);
}

void signed_distance_cuda(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t voxels = s.count(), classes = c.as<SignedDistanceAttributes>().classes;
  SignedDistanceArgs args{};
  args.labels = c.in<uint8_t>(0), args.y = c.out<float>(0);
  args.squares = static_cast<int32_t*>(c.work), args.more_squares = args.squares + 2 * voxels;
  args.largest = args.more_squares + 2 * voxels;
  args.samples = s[0], args.d = s[1], args.h = s[2], args.w = s[3], args.maps = classes - 1;
  for (args.label = 1; args.label < classes; ++args.label) {
    for (const char* kernel : {"distances_in_rows", "distances_in_planes", "distances_in_volumes"})
      launch(c, kernel, element_grid(2 * voxels), args);
    launch(c, "largest_distances", {static_cast<uint32_t>(2 * s[0])}, args);
    launch(c, "signed_distances", element_grid(voxels), args);
  }
}

}  // namespace

void register_signed_distance(OpRegistry& registry) {
  OpDef op = op_definition<SignedDistanceAttributes>("signed_distance");
  op.infer = &infer;
  op.cpu = {{"separable_search", &signed_distance_cpu}};
  op.work_bytes = &work_bytes;
  op.cuda = {{"axis_by_axis", &signed_distance_cuda}};
  op.cuda_work_bytes = &cuda_work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
