#include "ops/surface_distance/surface_distance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

void infer_mask(InferContext& c) {
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "mask", DType::u8);
  c.expect_rank(0, "mask", 3);
}

void infer_border(InferContext& c) {
  infer_mask(c);
  c.output(c.input(0, "mask"));
}

void infer_codes(InferContext& c) {
  infer_mask(c);
  const Shape& s = c.input(0, "mask").shape;
  c.output({DType::u8, {s[0] + 1, s[1] + 1, s[2] + 1}});
}

void infer_distance(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "a", DType::u8);
  c.expect_rank(0, "a", 3);
  c.expect_dtype(1, "b", DType::u8);
  const Shape& shape = c.input(0, "a").shape;
  c.expect_shape(1, "b", shape);
  for (const double s : c.attributes<SurfaceDistanceAttributes>().spacing)
    c.expect(s > 0 && std::isfinite(s), "spacing", "three numbers > 0", std::to_string(s), ErrorCode::data);
  c.output({DType::f32, shape});
}

/// Calls body(item, thread) for all items, `elements` of the output each.
template <class F>
void over(const KernelContext& c, int64_t items, int64_t elements, F body) {
  const int64_t chunks = chunk_count(items, kElementGrain / std::max<int64_t>(elements, 1) + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    const Range r = chunk_range(items, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) body(i, thread);
  });
}

bool is_empty(const uint8_t* row, int64_t count) {
  uint64_t all = 0, eight;
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    std::memcpy(&eight, row + i, 8);
    all |= eight;
  }
  for (; i < count; ++i) all |= row[i];
  return all == 0;
}

void border_cpu(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t width = s[2], plane = s[1] * width;
  const auto border = SFR_DISPATCH(border_row);
  over(c, s[0] * s[1], width, [&](int64_t i, int) {
    const int64_t z = i / s[1], y = i % s[1];
    const uint8_t* row = c.in<uint8_t>(0) + i * width;
    const bool is_edge = z == 0 || y == 0 || z == s[0] - 1 || y == s[1] - 1;
    border(row, is_edge ? nullptr : row - width, row + width, row - plane, row + plane, width,
           c.out<uint8_t>(0) + i * width);
  });
}

void codes_cpu(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t rows = s[1] + 1, width = s[2];
  const auto codes = SFR_DISPATCH(surface_code_row);
  over(c, (s[0] + 1) * rows, width + 1, [&](int64_t i, int) {
    const uint8_t* corners[4];
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t z = i / rows - 1 + corner / 2, y = i % rows - 1 + corner % 2;
      const bool is_outside = z < 0 || y < 0 || z == s[0] || y == s[1];
      const uint8_t* row = is_outside ? nullptr : c.in<uint8_t>(0) + (z * s[1] + y) * width;
      corners[corner] = is_outside || is_empty(row, width) ? nullptr : row;
    }
    codes(corners, width, c.out<uint8_t>(0) + i * (width + 1));
  });
}

/// Squared distance to the nearest mark of the row, infinity where it has none.
void row_squares(const uint8_t* marks, int64_t count, float spacing, float* out) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::fill(out, out + count, kInfinity);
  if (is_empty(marks, count)) return;
  float steps = kInfinity;  // from the last mark
  for (int64_t x = 0; x < count; ++x) out[x] = steps = marks[x] != 0 ? 0 : steps + 1;
  for (int64_t x = count - 1; x >= 0; --x) {
    steps = std::min(out[x], x == count - 1 ? kInfinity : steps + 1);
    const float distance = steps * spacing;
    out[x] = distance * distance;
  }
}

int64_t tiles_of(const Shape& s) {
  return (s[2] + kColumnTile - 1) / kColumnTile;
}

/// Floats that a thread works in: a plane, or a tile of columns along z.
int64_t work_floats(const Shape& s) {
  return std::max(s[1] * s[2], s[0] * kColumnTile);
}

/// Behind the threads' floats: whether a has marks in a tile of columns, [H, tiles] u8.
size_t work_bytes(const NodeTypes& types, int threads) {
  const Shape& s = types.input(0).shape;
  return static_cast<size_t>(work_floats(s) * threads) * sizeof(float) +
         static_cast<size_t>(s[1] * tiles_of(s));
}

/// The op's arguments, and its three passes.
class Search {
 public:
  Search(const KernelContext& c, int threads)
      : c_(c),
        s_(c.inputs[0].type.shape),
        plane_(s_[1] * s_[2]),
        tiles_(tiles_of(s_)),
        work_(static_cast<float*>(c.work)),
        is_needed_(reinterpret_cast<uint8_t*>(work_ + work_floats(s_) * threads)) {
    const auto& spacing = c.as<SurfaceDistanceAttributes>().spacing;
    for (size_t axis = 0; axis < 3; ++axis) spacing_[axis] = static_cast<float>(spacing[axis]);
  }

  void run() {
    over(c_, s_[1] * tiles_, s_[0] * kColumnTile, [&](int64_t i, int) { find_marks(i); });
    over(c_, s_[0], plane_,
         [&](int64_t z, int thread) { search_plane(z, work_ + thread * work_floats(s_)); });
    over(c_, s_[1] * tiles_, s_[0] * kColumnTile,
         [&](int64_t i, int thread) { search_columns(i, work_ + thread * work_floats(s_)); });
  }

 private:
  int64_t columns(int64_t tile) const { return std::min(kColumnTile, s_[2] - tile * kColumnTile); }
  int64_t first(int64_t i) const { return i / tiles_ * s_[2] + i % tiles_ * kColumnTile; }

  void find_marks(int64_t i) {
    is_needed_[i] = 0;
    for (int64_t z = 0; z < s_[0] && is_needed_[i] == 0; ++z)
      is_needed_[i] = !is_empty(c_.in<uint8_t>(0) + z * plane_ + first(i), columns(i % tiles_));
  }

  void search_plane(int64_t z, float* squares) {
    const auto nearest = SFR_DISPATCH(nearest_in_columns);
    const uint8_t* marks = c_.in<uint8_t>(1) + z * plane_;
    float* y = c_.out<float>(0) + z * plane_;
    if (is_empty(marks, plane_)) {
      std::fill(y, y + plane_, std::numeric_limits<float>::infinity());
      return;
    }
    for (int64_t row = 0; row < s_[1]; ++row)
      row_squares(marks + row * s_[2], s_[2], spacing_[0], squares + row * s_[2]);
    for (int64_t tile = 0; tile < tiles_; ++tile)
      nearest(squares + tile * kColumnTile, s_[2], s_[1], columns(tile), spacing_[1], is_needed_ + tile,
              tiles_, y + tile * kColumnTile);
  }

  void search_columns(int64_t i, float* squares) {
    const int64_t count = columns(i % tiles_);
    float* y = c_.out<float>(0) + first(i);
    for (int64_t z = 0; z < s_[0]; ++z, y += plane_) {
      if (is_needed_[i] != 0)
        std::copy(y, y + count, squares + z * kColumnTile);
      else
        std::fill(y, y + count, -1.0f);
    }
    if (is_needed_[i] != 0) SFR_DISPATCH(nearest_at_marks)
    (squares, c_.in<uint8_t>(0) + first(i), plane_, s_[0], count, spacing_[2], c_.out<float>(0) + first(i));
  }

  const KernelContext& c_;
  const Shape& s_;
  int64_t plane_, tiles_;
  float* work_;
  uint8_t* is_needed_;
  float spacing_[3];
};

void distance_cpu(const KernelContext& c) {
  Search(c, c.pool->threads()).run();
}

template <class Attributes>
void add(OpRegistry& registry, const char* name, void (*infer)(InferContext&), Kernel kernel,
         size_t (*work)(const NodeTypes&, int) = nullptr) {
  OpDef op = op_definition<Attributes>(name);
  op.infer = infer;
  op.cpu = {kernel};
  op.work_bytes = work;
  registry.add(std::move(op));
}

}  // namespace

void register_surface_distance(OpRegistry& registry) {
  add<NoAttributes>(registry, "border", &infer_border, {"rows", &border_cpu});
  add<NoAttributes>(registry, "surface_codes", &infer_codes, {"rows", &codes_cpu});
  add<SurfaceDistanceAttributes>(registry, "surface_distance", &infer_distance,
                                 {"separable_search", &distance_cpu}, &work_bytes);
}

}  // namespace sfr
