// Union-find with the smallest index as root; one pass over the neighbours that come before a voxel. Samples
// run in parallel.
#include "ops/components/components.h"

#include <array>

#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "x", DType::u8);
  c.expect_rank(0, "x", 4);
  const Shape& x = c.input(0, "x").shape;
  c.expect(x[1] * x[2] * x[3] < INT32_MAX, "x", "fewer than 2^31 voxels per sample", x.text());
  c.output(c.input(0, "x"));
}

/// For each voxel its parent, and for each root what is known of its component.
size_t work_bytes(const NodeTypes& t, int) {
  return static_cast<size_t>(t.input(0).shape.count()) * 2 * sizeof(int32_t);
}

/// One sample with its work memory.
struct Sample {
  const uint8_t* x;
  uint8_t* y;
  Shape shape;  // [N, D, H, W]
  int32_t* parent;
  int32_t* of_root;

  int32_t count() const { return static_cast<int32_t>(shape[1] * shape[2] * shape[3]); }
  int32_t index(int64_t z, int64_t row, int64_t column) const {
    return static_cast<int32_t>((z * shape[2] + row) * shape[3] + column);
  }
  int32_t find(int32_t i) const {
    while (parent[i] != i) {
      parent[i] = parent[parent[i]];
      i = parent[i];
    }
    return i;
  }
  void join(int32_t one, int32_t other) const {
    if (x[one] != x[other]) return;
    const int32_t a = find(one), b = find(other);
    parent[a < b ? b : a] = a < b ? a : b;
  }
  template <class Visit>
  void each(Visit visit) const {
    for (int64_t z = 0; z < shape[1]; ++z)
      for (int64_t row = 0; row < shape[2]; ++row)
        for (int64_t column = 0; column < shape[3]; ++column) visit(z, row, column, index(z, row, column));
  }
};

/// Joins voxel i with those of its class among the 13 neighbours before it.
void join_26(const Sample& s, int64_t z, int64_t y, int64_t column, int32_t i) {
  for (int64_t dz = -1; dz <= 0; ++dz)
    for (int64_t dy = -1; dy <= (dz < 0 ? 1 : 0); ++dy)
      for (int64_t dx = -1; dx <= (dz < 0 || dy < 0 ? 1 : -1); ++dx) {
        if (z + dz < 0 || y + dy < 0 || y + dy >= s.shape[2] || column + dx < 0 || column + dx >= s.shape[3])
          continue;
        s.join(s.index(z + dz, y + dy, column + dx), i);
      }
}

/// Components of the classes but 0; of_root is their number of voxels.
void find_classes(const Sample& s) {
  s.each([&](int64_t z, int64_t y, int64_t column, int32_t i) {
    if (s.x[i] == 0) return;
    s.parent[i] = i;
    join_26(s, z, y, column, i);
  });
  for (int32_t i = 0; i < s.count(); ++i) {
    if (s.x[i] == 0) continue;
    const int32_t root = s.find(i);
    if (root == i) s.of_root[i] = 0;  // the root comes first
    ++s.of_root[root];
  }
}

void keep_largest(const Sample& s) {
  find_classes(s);
  std::array<int32_t, 256> best;
  best.fill(-1);
  for (int32_t i = 0; i < s.count(); ++i)
    if (s.x[i] != 0 && s.parent[i] == i && (best[s.x[i]] < 0 || s.of_root[i] > s.of_root[best[s.x[i]]]))
      best[s.x[i]] = i;
  for (int32_t i = 0; i < s.count(); ++i)
    s.y[i] = s.x[i] != 0 && s.find(i) == best[s.x[i]] ? s.x[i] : uint8_t{0};
}

void drop_small(const Sample& s, int64_t voxels) {
  find_classes(s);
  for (int32_t i = 0; i < s.count(); ++i)
    s.y[i] = s.x[i] != 0 && s.of_root[s.find(i)] >= voxels ? s.x[i] : uint8_t{0};
}

/// What surrounds a component of class 0: nothing yet, one class, or it is open.
constexpr int32_t kNothing = 0, kOpen = -1;

void fill_holes_of(const Sample& s) {
  const Shape& shape = s.shape;
  const int64_t steps[3] = {shape[2] * shape[3], shape[3], 1};
  s.each([&](int64_t z, int64_t y, int64_t column, int32_t i) {
    if (s.x[i] != 0) return;
    s.parent[i] = i;
    s.of_root[i] = kNothing;
    const int64_t at[3] = {z, y, column};
    for (int axis = 0; axis < 3; ++axis)
      if (at[axis] > 0) s.join(static_cast<int32_t>(i - steps[axis]), i);
  });
  s.each([&](int64_t z, int64_t y, int64_t column, int32_t i) {
    if (s.x[i] != 0) return;
    int32_t& around = s.of_root[s.find(i)];
    const int64_t at[3] = {z, y, column};
    for (int axis = 0; axis < 3; ++axis) {
      if (at[axis] == 0 || at[axis] == shape[axis + 1] - 1) {
        around = kOpen;
        return;
      }
      for (const int64_t step : {-steps[axis], steps[axis]}) {
        const int32_t other = s.x[i + step];
        if (other != 0) around = around == kNothing || around == other ? other : kOpen;
      }
    }
  });
  for (int32_t i = 0; i < s.count(); ++i) {
    const int32_t around = s.x[i] == 0 ? s.of_root[s.find(i)] : kOpen;
    s.y[i] = around > 0 ? static_cast<uint8_t>(around) : s.x[i];
  }
}

template <class Work>
void each_sample(const KernelContext& c, Work work) {
  const Shape& shape = c.inputs[0].type.shape;
  const int64_t voxels = shape[1] * shape[2] * shape[3];
  auto* memory = static_cast<int32_t*>(c.work);
  c.pool->parallel_for(shape[0], [&](int64_t n, int) {
    int32_t* mine = memory + 2 * n * voxels;
    work(Sample{c.in<uint8_t>(0) + n * voxels, c.out<uint8_t>(0) + n * voxels, shape, mine, mine + voxels});
  });
}

void largest_component_cpu(const KernelContext& c) {
  each_sample(c, keep_largest);
}

void drop_small_components_cpu(const KernelContext& c) {
  const int64_t voxels = c.as<DropSmallComponentsAttributes>().voxels;
  each_sample(c, [&](const Sample& s) { drop_small(s, voxels); });
}

void fill_holes_cpu(const KernelContext& c) {
  each_sample(c, fill_holes_of);
}

size_t cuda_work_bytes(const NodeTypes& t) {
  const Shape& x = t.input(0).shape;
  return static_cast<size_t>(x[0]) * 256 * sizeof(unsigned long long) +
         static_cast<size_t>(x.count()) * 3 * sizeof(int32_t);
}

void largest_component_cuda(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t voxels = s.count();
  ComponentArgs args{};
  args.x = c.in<uint8_t>(0), args.y = c.out<uint8_t>(0);
  args.best = static_cast<unsigned long long*>(c.work);
  args.names = reinterpret_cast<int32_t*>(args.best + s[0] * 256);
  args.roots = args.names + voxels, args.sizes = args.roots + voxels;
  args.samples = s[0], args.d = s[1], args.h = s[2], args.w = s[3];
  for (const char* kernel :
       {"component_begin", "component_join", "component_sizes", "component_best", "component_largest"})
    launch(c, kernel, element_grid(voxels), args);
}

template <class Attributes>
OpDef op_of(const char* name, void (*run)(const KernelContext&)) {
  OpDef op = op_definition<Attributes>(name);
  op.infer = &infer;
  op.cpu = {{"union_find", run}};
  op.work_bytes = &work_bytes;
  return op;
}

}  // namespace

void register_components(OpRegistry& registry) {
  OpDef largest = op_of<NoAttributes>("largest_component", &largest_component_cpu);
  largest.cuda = {{"union_find", &largest_component_cuda}};
  largest.cuda_work_bytes = &cuda_work_bytes;
  registry.add(std::move(largest));
  registry.add(op_of<DropSmallComponentsAttributes>("drop_small_components", &drop_small_components_cpu));
  registry.add(op_of<NoAttributes>("fill_holes", &fill_holes_cpu));
}

}  // namespace sfr
