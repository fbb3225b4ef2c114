// 3D convolution on the CPU: forward, input gradient and weight gradient over the thread pool.
#pragma once

#include <cstddef>

#include "core/thread_pool.h"
#include "math/conv_rows.h"

namespace sfr {

/// Work memory in bytes for the three functions below with this shape on `threads` threads at the current
/// SIMD level. `work` must be aligned to 64 bytes; its contents mean nothing before and after.
size_t conv3d_forward_work_bytes(const Conv3dShape& shape, int threads);
size_t conv3d_backward_input_work_bytes(const Conv3dShape& shape, int threads);
size_t conv3d_backward_weight_work_bytes(const Conv3dShape& shape, int threads);

/// Whether Winograd's algorithm runs for this forward shape, else the direct one; by shape alone, the same
/// for forward and input gradient. It takes a quarter of the products for kernels of 3 along y and x and
/// channels in multiples of 16; its errors are about twice those of a plain f32 loop (see
/// winograd_tiles.h).
bool conv3d_uses_winograd(const Conv3dShape& shape);
bool conv3d_backward_weight_uses_winograd(const Conv3dShape& shape);

/// y [n, d, h, w, cout] = x [n, d, h, w, cin] * weights [kd, kh, kw, cin, cout] + bias [cout] (may be null).
/// Buffers must not overlap. The bits do not depend on the number of threads (per SIMD level).
void conv3d_forward(ThreadPool& pool, const Conv3dShape& shape, const ConvInput& x, const float* weights,
                    const float* bias, float* y, void* work);

/// dx [n, d, h, w, cin] from dy [n, d, h, w, cout]; `shape` is the forward shape.
void conv3d_backward_input(ThreadPool& pool, const Conv3dShape& shape, const float* dy, const float* weights,
                           float* dx, void* work);

/// dweights [kd, kh, kw, cin, cout] and, unless null, dbias [cout]; both are overwritten. `shape` is the
/// forward shape. Sums run in f32 over about 112 voxels (or 56 tiles), then in f32 over those within a chunk,
/// then in double over chunks.
void conv3d_backward_weight(ThreadPool& pool, const Conv3dShape& shape, const ConvInput& x, const float* dy,
                            float* dweights, float* dbias, void* work);

}  // namespace sfr
