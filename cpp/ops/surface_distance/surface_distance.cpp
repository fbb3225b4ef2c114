#include "ops/surface_distance/surface_distance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kLines = 8;  // lines worked on together: their doubles fill a cache line at every step

void infer(InferContext& c) {
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

/// Work memory of one thread for lines of `length`.
struct LineWork {
  double* values;  // [length][kLines]
  double* starts;  // where each parabola of the envelope takes over
  int64_t* sites;  // whose parabola it is
  static int64_t bytes(int64_t length) { return length * (kLines + 2) * 8; }
};

int64_t longest(const Shape& s) {
  return std::max({s[0], s[1], s[2]});
}

size_t work_bytes(const NodeTypes& types, int threads) {
  const Shape& s = types.input(0).shape;
  return static_cast<size_t>(s.count() * 8 + threads * LineWork::bytes(longest(s)));
}

/// A border voxel: in the object, and with a neighbour (or the volume's edge) outside it.
bool is_border(const uint8_t* v, const Shape& s, int64_t z, int64_t y, int64_t x) {
  const int64_t row = s[2], plane = s[1] * s[2];
  const uint8_t* p = v + z * plane + y * row + x;
  if (*p == 0) return false;
  if (z == 0 || y == 0 || x == 0 || z == s[0] - 1 || y == s[1] - 1 || x == s[2] - 1) return true;
  return p[-1] == 0 || p[1] == 0 || p[-row] == 0 || p[row] == 0 || p[-plane] == 0 || p[plane] == 0;
}

/// The smallest box that holds both objects: every border voxel lies in it, so distances need nothing
/// outside.
struct Box {
  int64_t begin[3], end[3];  // z, y, x
  int64_t extent(int axis) const { return end[axis] - begin[axis]; }
};

Box objects_box(const uint8_t* a, const uint8_t* b, const Shape& s) {
  Box box = {{s[0], s[1], s[2]}, {0, 0, 0}};
  for (int64_t z = 0; z < s[0]; ++z)
    for (int64_t y = 0; y < s[1]; ++y) {
      const int64_t row = (z * s[1] + y) * s[2];
      int64_t first = 0, last = s[2];
      while (first < last && (a[row + first] | b[row + first]) == 0) ++first;
      while (last > first && (a[row + last - 1] | b[row + last - 1]) == 0) --last;
      if (first == last) continue;
      const int64_t at[3] = {z, y, first}, behind[3] = {z + 1, y + 1, last};
      for (int axis = 0; axis < 3; ++axis) {
        box.begin[axis] = std::min(box.begin[axis], at[axis]);
        box.end[axis] = std::max(box.end[axis], behind[axis]);
      }
    }
  return box;
}

/// Squared distance along x to the nearest border voxel of b in the same row; infinity where the row has
/// none.
void row_distances(const uint8_t* b, const Shape& s, const Box& box, int64_t z, int64_t y, double spacing,
                   double* out) {
  const int64_t count = box.extent(2);
  int64_t steps = -1;  // to the last border voxel; -1: none yet
  for (int64_t i = 0; i < count; ++i) {
    steps = is_border(b, s, z, y, box.begin[2] + i) ? 0 : steps < 0 ? -1 : steps + 1;
    out[i] = steps < 0 ? kInfinity : static_cast<double>(steps);
  }
  double back = kInfinity;
  for (int64_t i = count - 1; i >= 0; --i) {
    back = out[i] == 0 ? 0 : back + 1;
    const double distance = std::min(out[i], back) * spacing;
    out[i] = distance * distance;
  }
}

/// One line: out[q] = min over p of (spacing (q - p))^2 + f[p], by the lower envelope of the parabolas.
void envelope_line(double* f, int64_t stride, int64_t length, double spacing, const LineWork& work,
                   double* out, int64_t out_stride) {
  const double unit = spacing * spacing;
  int64_t count = 0;
  for (int64_t q = 0; q < length; ++q) {
    const double height = f[q * stride];
    if (height == kInfinity) continue;
    double start = -kInfinity;
    while (count > 0) {
      const int64_t p = work.sites[count - 1];
      start = (height - f[p * stride]) / (2 * unit * static_cast<double>(q - p)) +
              0.5 * static_cast<double>(q + p);
      if (start > work.starts[count - 1]) break;
      --count;
      start = -kInfinity;
    }
    work.sites[count] = q;
    work.starts[count++] = start;
  }
  int64_t k = 0;
  for (int64_t q = 0; q < length; ++q) {
    while (k + 1 < count && work.starts[k + 1] < static_cast<double>(q)) ++k;
    const double step = count == 0 ? 0 : static_cast<double>(q - work.sites[k]);
    out[q * out_stride] = count == 0 ? kInfinity : step * step * unit + f[work.sites[k] * stride];
  }
}

/// Envelopes along lines of the box: `lines` neighbouring ones (at most kLines) in place, from `grid` on.
void envelope_lines(double* grid, int64_t pitch, int64_t lines, int64_t length, double spacing,
                    const LineWork& work) {
  for (int64_t q = 0; q < length; ++q)
    std::memcpy(work.values + q * kLines, grid + q * pitch, static_cast<size_t>(lines) * sizeof(double));
  for (int64_t line = 0; line < lines; ++line)
    envelope_line(work.values + line, kLines, length, spacing, work, grid + line, pitch);
}

/// The distance transform of the box, squared: x, then y, then z.
class Transform {
 public:
  Transform(const KernelContext& c, const Box& box)
      : c_(c), shape_(c.inputs[0].type.shape), box_(box), grid_(static_cast<double*>(c.work)) {}

  const double* run() {
    const auto& spacing = c_.as<SurfaceDistanceAttributes>().spacing;
    const int64_t d = box_.extent(0), h = box_.extent(1), w = box_.extent(2);
    over(d * h, w, [&](int64_t i, int) {
      row_distances(c_.in<uint8_t>(1), shape_, box_, box_.begin[0] + i / h, box_.begin[1] + i % h, spacing[0],
                    grid_ + i * w);
    });
    const int64_t groups = (w + kLines - 1) / kLines;
    over(d * groups, h * kLines, [&](int64_t i, int thread) {
      const int64_t x = i % groups * kLines;
      envelope_lines(grid_ + i / groups * h * w + x, w, std::min(kLines, w - x), h, spacing[1],
                     line_work(thread));
    });
    over(h * groups, d * kLines, [&](int64_t i, int thread) {
      const int64_t x = i % groups * kLines;
      envelope_lines(grid_ + i / groups * w + x, h * w, std::min(kLines, w - x), d, spacing[2],
                     line_work(thread));
    });
    return grid_;
  }

 private:
  template <class F>
  void over(int64_t items, int64_t elements_each, F body) {
    const int64_t chunks = chunk_count(items, kElementGrain / elements_each + 1);
    c_.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
      const Range r = chunk_range(items, chunk, chunks);
      for (int64_t i = r.begin; i < r.end; ++i) body(i, thread);
    });
  }

  LineWork line_work(int thread) const {
    const int64_t length = longest(shape_);
    auto* block = static_cast<std::byte*>(c_.work) + shape_.count() * 8 + thread * LineWork::bytes(length);
    auto* values = reinterpret_cast<double*>(block);
    return {values, values + length * kLines, reinterpret_cast<int64_t*>(values + length * (kLines + 1))};
  }

  const KernelContext& c_;
  const Shape& shape_;
  const Box& box_;
  double* grid_;
};

void surface_distance_cpu(const KernelContext& c) {
  const Shape& s = c.inputs[0].type.shape;
  const uint8_t* a = c.in<uint8_t>(0);
  float* y = c.out<float>(0);
  std::fill(y, y + s.count(), -1.0f);
  const Box box = objects_box(a, c.in<uint8_t>(1), s);
  if (box.end[0] == 0) return;  // both empty
  const double* squared = Transform(c, box).run();
  const int64_t rows = box.extent(0) * box.extent(1), width = box.extent(2);
  const int64_t chunks = chunk_count(rows, kElementGrain / width + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t z = box.begin[0] + i / box.extent(1), row = box.begin[1] + i % box.extent(1);
      for (int64_t x = 0; x < width; ++x)
        if (is_border(a, s, z, row, box.begin[2] + x))
          y[(z * s[1] + row) * s[2] + box.begin[2] + x] =
              static_cast<float>(std::sqrt(squared[i * width + x]));
    }
  });
}

}  // namespace

void register_surface_distance(OpRegistry& registry) {
  OpDef op = op_definition<SurfaceDistanceAttributes>("surface_distance");
  op.infer = &infer;
  op.cpu = {{"separable_envelope", &surface_distance_cpu}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
