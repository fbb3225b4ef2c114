// largest_component: of each class but 0, the largest 26-connected component of each sample stays, others
// become 0.
//   x u8 [N, D, H, W] -> y u8 [N, D, H, W]. Of components of equal size the one with the first voxel stays.
// Union-find with the smallest index as root; one pass over the 13 neighbours that come before a voxel.
// Samples run in parallel. Not differentiable.
#include <array>

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

/// For each voxel its parent, and for each root the size of its component.
size_t work_bytes(const NodeTypes& t, int) {
  return static_cast<size_t>(t.input(0).shape.count()) * 2 * sizeof(int32_t);
}

int32_t find(int32_t* parent, int32_t i) {
  while (parent[i] != i) {
    parent[i] = parent[parent[i]];
    i = parent[i];
  }
  return i;
}

/// Joins voxel i with those of its class among the 13 neighbours before it.
void join_before(const uint8_t* x, const Shape& s, int64_t z, int64_t y, int64_t column, int32_t* parent) {
  const auto at = [&](int64_t dz, int64_t dy, int64_t dx) {
    return static_cast<int32_t>(((z + dz) * s[2] + y + dy) * s[3] + column + dx);
  };
  const int32_t self = at(0, 0, 0);
  parent[self] = self;
  for (int64_t dz = -1; dz <= 0; ++dz)
    for (int64_t dy = -1; dy <= (dz < 0 ? 1 : 0); ++dy)
      for (int64_t dx = -1; dx <= (dz < 0 || dy < 0 ? 1 : -1); ++dx) {
        if (z + dz < 0 || y + dy < 0 || y + dy >= s[2] || column + dx < 0 || column + dx >= s[3]) continue;
        const int32_t other = at(dz, dy, dx);
        if (x[other] != x[self]) continue;
        const int32_t a = find(parent, other), b = find(parent, self);
        parent[a < b ? b : a] = a < b ? a : b;
      }
}

void keep_largest(const uint8_t* x, const Shape& s, uint8_t* y, int32_t* parent, int32_t* size) {
  const int32_t count = static_cast<int32_t>(s[1] * s[2] * s[3]);
  for (int64_t z = 0; z < s[1]; ++z)
    for (int64_t row = 0; row < s[2]; ++row)
      for (int64_t column = 0; column < s[3]; ++column)
        if (x[(z * s[2] + row) * s[3] + column] != 0) join_before(x, s, z, row, column, parent);
  std::array<int32_t, 256> best;
  best.fill(-1);
  for (int32_t i = 0; i < count; ++i) {
    if (x[i] == 0) continue;
    const int32_t root = find(parent, i);
    if (root == i) size[i] = 0;  // the root comes first
    ++size[root];
  }
  for (int32_t i = 0; i < count; ++i)
    if (x[i] != 0 && parent[i] == i && (best[x[i]] < 0 || size[i] > size[best[x[i]]])) best[x[i]] = i;
  for (int32_t i = 0; i < count; ++i) y[i] = x[i] != 0 && find(parent, i) == best[x[i]] ? x[i] : uint8_t{0};
}

void largest_component_cpu(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t voxels = s[1] * s[2] * s[3];
  auto* work = static_cast<int32_t*>(c.work);
  c.pool->parallel_for(s[0], [&](int64_t n, int) {
    int32_t* mine = work + 2 * n * voxels;
    keep_largest(c.in<uint8_t>(0) + n * voxels, s, c.out<uint8_t>(0) + n * voxels, mine, mine + voxels);
  });
}

}  // namespace

void register_largest_component(OpRegistry& registry) {
  OpDef op = op_definition<NoAttributes>("largest_component");
  op.infer = &infer;
  op.cpu = {{"union_find", &largest_component_cpu}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
