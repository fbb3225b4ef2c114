#include "ops/crop/crop.h"

#include <algorithm>
#include <cstring>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

/// Where element (i, j) of a rotated and flipped plane comes from: axis a at origin[a] + i * by_i[a] + j *
/// by_j[a].
struct PlaneMap {
  int64_t extent[2];  // of the rotated plane
  int64_t origin[2], by_i[2], by_j[2];
};

/// np.rot90 by k, then np.flip, of a plane with extents n0, n1.
PlaneMap plane_map(int64_t n0, int64_t n1, int32_t k, int32_t flip) {
  PlaneMap m = {};
  switch (k & 3) {  // also right for negative k
    case 0:
      m = {{n0, n1}, {0, 0}, {1, 0}, {0, 1}};
      break;
    case 1:
      m = {{n1, n0}, {0, n1 - 1}, {0, -1}, {1, 0}};
      break;
    case 2:
      m = {{n0, n1}, {n0 - 1, n1 - 1}, {-1, 0}, {0, -1}};
      break;
    default:
      m = {{n1, n0}, {n0 - 1, 0}, {0, 1}, {-1, 0}};
      break;
  }
  int64_t* by = flip == 1 ? m.by_i : m.by_j;
  for (int a = 0; a < 2 && flip != 0; ++a) {
    m.origin[a] += by[a] * (m.extent[flip - 1] - 1);
    by[a] = -by[a];
  }
  return m;
}

/// out[r][c] = from[r * row_step + c * col_step]; blocks of 16 keep the lines of a transposed source in
/// cache.
template <class T>
void gather(T* out, int64_t out_pitch, int64_t rows, int64_t cols, const T* from, int64_t row_step,
            int64_t col_step) {
  if (col_step == 1) {
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(out + r * out_pitch, from + r * row_step, static_cast<size_t>(cols) * sizeof(T));
    return;
  }
  constexpr int64_t kBlock = 16;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < cols; c0 += kBlock)
      for (int64_t r = r0; r < std::min(r0 + kBlock, rows); ++r)
        for (int64_t c = c0; c < std::min(c0 + kBlock, cols); ++c)
          out[r * out_pitch + c] = from[r * row_step + c * col_step];
}

int32_t checked_flip(const char* op, int32_t flip) {
  if (flip < 0 || flip > 2)
    throw Error(ErrorCode::data,
                std::string(op) + ": expected 0, 1 or 2 for flip, received " + std::to_string(flip));
  return flip;
}

void expect_image_dtype(const InferContext& c, const TensorType& x) {
  c.expect(x.dtype == DType::f32 || x.dtype == DType::u8, "x", "f32 or u8", x.text(), ErrorCode::dtype);
}

// ---- crop_rot_flip

void infer_crop(InferContext& c) {
  c.expect_inputs(2, 2);
  expect_image_dtype(c, c.input(0, "x"));
  c.expect_rank(0, "x", 3);
  c.expect_dtype(1, "parameters", DType::i32);
  c.expect_shape(1, "parameters", {5});
  const auto& size = c.attributes<CropAttributes>().size;
  c.output({c.input(0, "x").dtype, {size[0], size[1], size[2]}});
}

/// The part of [0, count) whose positions from + i lie in [0, extent).
Range inside(int64_t from, int64_t count, int64_t extent) {
  const int64_t begin = std::clamp<int64_t>(-from, 0, count);
  return {begin, std::clamp<int64_t>(extent - from, begin, count)};
}

template <class T>
void crop_typed(const KernelContext& c) {
  const Shape &in = c.inputs[0].type.shape, &size = c.outputs[0].type.shape;
  const int32_t* p = c.in<int32_t>(1);
  // Axis 0 of the map is x, axis 1 is y; the output's rows run along y, its columns along x.
  const PlaneMap m = plane_map(in[2], in[1], p[3], checked_flip("crop_rot_flip", p[4]));
  const int64_t row_step = m.by_j[1] * in[2] + m.by_j[0], col_step = m.by_i[1] * in[2] + m.by_i[0];
  const int64_t plane = size[1] * size[2];
  const Range xs = inside(p[0], size[2], m.extent[0]), ys = inside(p[1], size[1], m.extent[1]);
  const Range zs = inside(p[2], size[0], in[0]);
  const int64_t origin = m.origin[1] * in[2] + m.origin[0];
  const int64_t chunks = chunk_count(size[0], kElementGrain / std::max<int64_t>(plane, 1) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(size[0], chunk, chunks);
    for (int64_t z = r.begin; z < r.end; ++z) {
      T* out = c.out<T>(0) + z * plane;
      const bool whole =
          xs.end - xs.begin == size[2] && ys.end - ys.begin == size[1] && z >= zs.begin && z < zs.end;
      if (!whole) std::fill(out, out + plane, T(0));
      if (z < zs.begin || z >= zs.end || xs.begin == xs.end || ys.begin == ys.end) continue;
      const T* from = c.in<T>(0) + (p[2] + z) * in[1] * in[2] + origin + (p[1] + ys.begin) * row_step +
                      (p[0] + xs.begin) * col_step;
      gather(out + ys.begin * size[2] + xs.begin, size[2], ys.end - ys.begin, xs.end - xs.begin, from,
             row_step, col_step);
    }
  });
}

void crop_cpu(const KernelContext& c) {
  if (c.inputs[0].type.dtype == DType::f32) return crop_typed<float>(c);
  crop_typed<uint8_t>(c);
}

// ---- rot_flip_canvas

void infer_rot_flip(InferContext& c) {
  c.expect_inputs(2, 2);
  const TensorType& x = c.input(0, "x");
  expect_image_dtype(c, x);
  c.expect_rank(0, "x", 3);
  c.expect(x.shape[1] == x.shape[2], "x", "square canvases", x.text());
  c.expect_dtype(1, "parameters", DType::i32);
  c.expect_shape(1, "parameters", {x.shape[0], 2});
  c.output(x);
}

template <class T>
void rot_flip_typed(const KernelContext& c) {
  constexpr int64_t kBand = 32;  // canvas rows per item of work: several items even for one canvas
  const int64_t canvases = c.inputs[0].type.shape[0], side = c.inputs[0].type.shape[1];
  const int32_t* p = c.in<int32_t>(1);
  for (int64_t n = 0; n < canvases; ++n) checked_flip("rot_flip_canvas", p[2 * n + 1]);
  const int64_t bands = (side + kBand - 1) / kBand, items = canvases * bands, chunks = chunk_count(items, 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(items, chunk, chunks);
    for (int64_t item = r.begin; item < r.end; ++item) {
      const int64_t n = item / bands, first = item % bands * kBand;
      const PlaneMap m = plane_map(side, side, p[2 * n], p[2 * n + 1]);
      const int64_t row_step = m.by_i[0] * side + m.by_i[1], col_step = m.by_j[0] * side + m.by_j[1];
      const T* from = c.in<T>(0) + n * side * side + m.origin[0] * side + m.origin[1] + first * row_step;
      gather(c.out<T>(0) + (n * side + first) * side, side, std::min(kBand, side - first), side, from,
             row_step, col_step);
    }
  });
}

void rot_flip_cpu(const KernelContext& c) {
  if (c.inputs[0].type.dtype == DType::f32) return rot_flip_typed<float>(c);
  rot_flip_typed<uint8_t>(c);
}

}  // namespace

void register_crop(OpRegistry& registry) {
  OpDef crop = op_definition<CropAttributes>("crop_rot_flip");
  crop.infer = &infer_crop;
  crop.cpu = {{"blocked_gather", &crop_cpu}};
  registry.add(std::move(crop));

  OpDef canvas = op_definition<NoAttributes>("rot_flip_canvas");
  canvas.infer = &infer_rot_flip;
  canvas.cpu = {{"blocked_gather", &rot_flip_cpu}};
  registry.add(std::move(canvas));
}

}  // namespace sfr
