// Exact Euclidean distance transform, separable (Felzenszwalb & Huttenlocher 2012), in double.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace sfr {

/// Bytes of work memory for lines of at most `longest` voxels.
size_t distance_work_bytes(int64_t longest, int threads);

/// grid [d][h][w], extents in this order: 0 at sites, infinity elsewhere -> the squared distance to the
/// nearest site, infinity everywhere when there is none. Spacing (x, y, z).
void squared_distances(ThreadPool& pool, double* grid, const std::array<int64_t, 3>& extents,
                       const std::array<double, 3>& spacing, void* work);

}  // namespace sfr
