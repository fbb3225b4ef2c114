#include "ops/signed_distance/signed_distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/chunks.h"
#include "graph/graph.h"
#include "math/distance_transform.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  const int64_t classes = c.attributes<SignedDistanceAttributes>().classes;
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "labels", DType::u8);
  c.expect_rank(0, "labels", 4);
  c.expect(classes >= 2 && classes <= 255, "classes", "2 to 255", std::to_string(classes), ErrorCode::usage);
  std::vector<int64_t> extents = c.input(0, "labels").shape.extents();
  extents.push_back(classes - 1);
  c.output({DType::f32, Shape(extents)});
}

size_t work_bytes(const NodeTypes& types, int threads) {
  const Shape& s = types.input(0).shape;
  return static_cast<size_t>(s[1] * s[2] * s[3]) * 8 +
         distance_work_bytes(std::max({s[1], s[2], s[3]}), threads);
}

/// One class of one sample.
class ClassMap {
 public:
  ClassMap(const KernelContext& c, int64_t sample, int64_t label)
      : pool_(*c.pool),
        extents_{c.inputs[0].type.shape[1], c.inputs[0].type.shape[2], c.inputs[0].type.shape[3]},
        voxels_(extents_[0] * extents_[1] * extents_[2]),
        labels_(c.in<uint8_t>(0) + sample * voxels_),
        label_(static_cast<uint8_t>(label)),
        grid_(static_cast<double*>(c.work)),
        maps_(c.outputs[0].type.shape.back()),
        y_(c.out<float>(0) + sample * voxels_ * maps_ + label - 1) {}

  void fill() {
    const int64_t inside = std::count(labels_, labels_ + voxels_, label_);
    for (int64_t i = 0; i < voxels_; ++i) y_[i * maps_] = 0;
    if (inside == 0 || inside == voxels_) return;
    add_distances(true, 1);
    add_distances(false, -1);
  }

 private:
  /// Adds factor * distance to the class (or to what is outside it), divided by the largest.
  void add_distances(bool to_class, double factor) {
    for (int64_t i = 0; i < voxels_; ++i)
      grid_[i] = (labels_[i] == label_) == to_class ? 0 : std::numeric_limits<double>::infinity();
    squared_distances(pool_, grid_, extents_, {1, 1, 1}, grid_ + voxels_);
    const double largest = std::sqrt(*std::max_element(grid_, grid_ + voxels_));
    for (int64_t i = 0; i < voxels_; ++i) {
      const bool border = !to_class && grid_[i] == 1;  // a face neighbour is outside the class
      if (grid_[i] > 0 && !border) y_[i * maps_] = static_cast<float>(factor * std::sqrt(grid_[i]) / largest);
    }
  }

  ThreadPool& pool_;
  std::array<int64_t, 3> extents_;
  int64_t voxels_;
  const uint8_t* labels_;
  uint8_t label_;
  double* grid_;
  int64_t maps_;
  float* y_;
};

void signed_distance_cpu(const KernelContext& c) {
  const int64_t classes = c.as<SignedDistanceAttributes>().classes;
  for (int64_t sample = 0; sample < c.inputs[0].type.shape[0]; ++sample)
    for (int64_t label = 1; label < classes; ++label) ClassMap(c, sample, label).fill();
}

}  // namespace

void register_signed_distance(OpRegistry& registry) {
  OpDef op = op_definition<SignedDistanceAttributes>("signed_distance");
  op.infer = &infer;
  op.cpu = {{"separable_envelope", &signed_distance_cpu}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
