// largest_component by union-find, all voxels at once: every voxel names another of its component or itself,
// and joining two takes the root with the larger index to the smaller. So a component's root is its first
// voxel, whatever the order; sizes and the largest are integers, which any order sums alike.
#include "cuda/kernel.h"
#include "ops/components/components.h"

namespace sfr::cuda {

/// The root that the names lead to by now; other threads join while this one looks.
SFR_DEVICE int32_t root_of(const int32_t* names, int32_t i) {
  for (int32_t name = atomic_read(names + i); name != i; name = atomic_read(names + i)) i = name;
  return i;
}

SFR_DEVICE void join(int32_t* names, int32_t a, int32_t b) {
  for (;;) {
    a = root_of(names, a);
    b = root_of(names, b);
    if (a == b) return;
    const int32_t low = a < b ? a : b, high = a < b ? b : a;
    const int32_t before = atomicMin(names + high, low);
    if (before == high) return;
    // Another thread was faster: what it joined the root to belongs to the same component.
    a = before;
    b = low;
  }
}

SFR_DEVICE int64_t sample_voxels(const ComponentArgs& args) {
  return args.d * args.h * args.w;
}

SFR_KERNEL(component_begin, ComponentArgs) {
  const int64_t voxels = sample_voxels(args);
  over_elements(args.samples * voxels, [&](int64_t i) {
    args.names[i] = static_cast<int32_t>(i % voxels);
    args.sizes[i] = 0;
  });
  over_elements(args.samples * 256, [&](int64_t i) { args.best[i] = ~0ull; });
}

/// Joins each voxel with those of its class among the 13 neighbours before it.
SFR_KERNEL(component_join, ComponentArgs) {
  const int64_t voxels = sample_voxels(args);
  over_elements(args.samples * voxels, [&](int64_t i) {
    if (args.x[i] == 0) return;
    const int64_t own = i % voxels, z = own / args.w / args.h, y = own / args.w % args.h, x = own % args.w;
    for (int64_t neighbour = 0; neighbour < 13; ++neighbour) {
      const int64_t dz = neighbour / 9 - 1, dy = neighbour / 3 % 3 - 1, dx = neighbour % 3 - 1;
      if (z + dz < 0 || y + dy < 0 || y + dy >= args.h || x + dx < 0 || x + dx >= args.w) continue;
      const int64_t step = (dz * args.h + dy) * args.w + dx;
      if (args.x[i + step] == args.x[i])
        join(args.names + i - own, static_cast<int32_t>(own), static_cast<int32_t>(own + step));
    }
  });
}

SFR_KERNEL(component_sizes, ComponentArgs) {
  const int64_t voxels = sample_voxels(args);
  over_elements(args.samples * voxels, [&](int64_t i) {
    const int64_t own = i % voxels, first = i - own;
    args.roots[i] = root_of(args.names + first, static_cast<int32_t>(own));
    if (args.x[i] != 0) atomicAdd(args.sizes + first + args.roots[i], 1);
  });
}

/// Of each class the least of (voxels that lack to 2^31 - 1, root): of equal components the first.
SFR_KERNEL(component_best, ComponentArgs) {
  const int64_t voxels = sample_voxels(args);
  over_elements(args.samples * voxels, [&](int64_t i) {
    if (args.x[i] == 0 || args.roots[i] != i % voxels) return;
    const auto lacking = static_cast<unsigned long long>(INT32_MAX - args.sizes[i]);
    atomicMin(args.best + i / voxels * 256 + args.x[i],
              lacking << 32 | static_cast<unsigned long long>(args.roots[i]));
  });
}

SFR_KERNEL(component_largest, ComponentArgs) {
  const int64_t voxels = sample_voxels(args);
  over_elements(args.samples * voxels, [&](int64_t i) {
    const unsigned long long best = args.best[i / voxels * 256 + args.x[i]];
    const bool stays = args.x[i] != 0 && static_cast<int32_t>(best & 0xffffffffu) == args.roots[i];
    args.y[i] = stays ? args.x[i] : uint8_t{0};
  });
}

}  // namespace sfr::cuda
