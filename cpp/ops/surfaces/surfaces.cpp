#include "ops/surfaces/surfaces.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/graph.h"
#include "math/nearest_marks.h"

namespace sfr {

namespace {

/// Part of a volume, (z, y, x).
struct Box {
  Extents begin, extents;
};

/// A class within a box, and its surface there.
struct Surface {
  Marks voxels;
  uint64_t* outside;  // a row without voxels
  Marks border, cells;

  /// Memory for a box of these extents.
  Surface(Carver& carver, const Extents& e)
      : voxels(carve_marks(carver, e)),
        outside(carver.take<uint64_t>(voxels.row_words)),
        border(carve_marks(carver, e)),
        cells(carve_marks(carver, {e[0] + 1, e[1] + 1, e[2] + 1})) {}

  void find(ThreadPool& pool, const TensorView& labels, int64_t label, const Box& box);
  void write_codes(ThreadPool& pool, uint8_t* codes) const;

  static int64_t count(const Marks& marks) { return marks.starts[marks.depth * marks.height]; }

 private:
  const uint64_t* row(int64_t z, int64_t y) const {
    const bool is_outside = z < 0 || y < 0 || z >= voxels.depth || y >= voxels.height;
    return is_outside ? outside : voxels.words + (z * voxels.height + y) * voxels.row_words;
  }
  /// The rows of voxels that row i of cells lies between.
  std::array<const uint64_t*, 4> rows_of_cells(int64_t i) const {
    const int64_t z = i / cells.height, y = i % cells.height;
    return {row(z - 1, y - 1), row(z - 1, y), row(z, y - 1), row(z, y)};
  }
};

void Surface::find(ThreadPool& pool, const TensorView& labels, int64_t label, const Box& box) {
  const Shape& shape = labels.type.shape;
  const auto mark_voxels = SFR_DISPATCH(mark_equal);
  mark_rows(pool, voxels, [&](int64_t i, uint64_t* words) {
    const int64_t z = box.begin[0] + i / voxels.height, y = box.begin[1] + i % voxels.height;
    return mark_voxels(labels.as<uint8_t>() + (z * shape[1] + y) * shape[2] + box.begin[2], voxels.width,
                       static_cast<uint8_t>(label), words);
  });
  std::fill_n(outside, voxels.row_words, uint64_t{0});
  const auto mark_border = SFR_DISPATCH(border_row);
  mark_rows(pool, border, [&](int64_t i, uint64_t* words) {
    const int64_t z = i / border.height, y = i % border.height;
    const uint64_t* around[] = {row(z - 1, y), row(z + 1, y), row(z, y - 1), row(z, y + 1)};
    return mark_border(row(z, y), around, border.row_words, words);
  });
  const auto mark_cells = SFR_DISPATCH(cell_row);
  mark_rows(pool, cells, [&](int64_t i, uint64_t* words) {
    return mark_cells(rows_of_cells(i).data(), voxels.row_words, cells.row_words, words);
  });
}

void Surface::write_codes(ThreadPool& pool, uint8_t* codes) const {
  const auto voxel = [&](const uint64_t* row, int64_t x) {
    return x < 0 || x >= voxels.width ? 0 : static_cast<int>(row[x / 64] >> x % 64 & 1);
  };
  over_rows(pool, cells, [&](int64_t i) {
    const auto rows = rows_of_cells(i);
    uint8_t* code = codes + cells.starts[i];
    over_marks(cells, i, [&](int64_t x) {
      int bits = 0;
      for (size_t corner = 0; corner < 4; ++corner)
        bits |= (voxel(rows[corner], x - 1) | voxel(rows[corner], x) << 1) << 2 * corner;
      *code++ = static_cast<uint8_t>(bits);
    });
  });
}

// ---- class_surfaces

void infer_class_surfaces(InferContext& c) {
  const int64_t classes = c.attributes<ClassSurfacesAttributes>().classes;
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "labels", DType::u8);
  c.expect_rank(0, "labels", 3);
  c.expect(classes >= 2 && classes <= 256, "classes", "2 to 256", std::to_string(classes), ErrorCode::usage);
  c.expect(c.input(0, "labels").shape.count() <= INT32_MAX, "labels", "at most 2^31 - 1 voxels",
           c.input(0, "labels").text());
  c.output({DType::i32, {classes - 1, 8}});
}

/// First voxel, and the one behind the last.
struct Bounds {
  Extents begin, end;
  void extend(const Extents& from, const Extents& to) {
    for (size_t axis = 0; axis < 3; ++axis) {
      begin[axis] = std::min(begin[axis], from[axis]);
      end[axis] = std::max(end[axis], to[axis]);
    }
  }
};
constexpr Bounds kNowhere = {{INT64_MAX, INT64_MAX, INT64_MAX}, {0, 0, 0}};

int64_t chunks_of(const Shape& s) {
  return chunk_count(s[0] * s[1], 8 * kElementGrain / std::max<int64_t>(s[2], 1) + 1);
}

/// End of the run of one label that begins at x.
int64_t end_of_run(const uint8_t* row, int64_t x, int64_t width) {
  const uint8_t label = row[x];
  const uint64_t wanted = label * uint64_t{0x0101010101010101};
  for (uint64_t eight; x + 8 <= width; x += 8) {
    std::memcpy(&eight, row + x, 8);
    if (eight != wanted) break;
  }
  while (x < width && row[x] == label) ++x;
  return x;
}

/// Bounds of all classes [classes], first within each chunk of rows [chunks][classes].
void find_bounds(const KernelContext& c, int64_t classes, Bounds* bounds) {
  const Shape& s = c.inputs[0].type.shape;
  const int64_t chunks = chunks_of(s);
  std::fill_n(bounds, chunks * classes, kNowhere);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(s[0] * s[1], chunk, chunks);
    for (int64_t i = r.begin; i < r.end; ++i) {
      const uint8_t* row = c.in<uint8_t>(0) + i * s[2];
      for (int64_t x = 0, end; x < s[2]; x = end) {
        end = end_of_run(row, x, s[2]);
        const int64_t z = i / s[1], y = i % s[1];
        if (row[x] != 0 && row[x] < classes)
          bounds[chunk * classes + row[x]].extend({z, y, x}, {z + 1, y + 1, end});
      }
    }
  });
  for (int64_t i = classes; i < chunks * classes; ++i)
    bounds[i % classes].extend(bounds[i].begin, bounds[i].end);
}

size_t class_surfaces_work(const NodeTypes& types, int) {
  const Shape& s = types.input(0).shape;
  Carver carver(nullptr);
  carver.take<Bounds>(chunks_of(s) * types.as<ClassSurfacesAttributes>().classes);
  Surface(carver, {s[0], s[1], s[2]});
  return carver.used();
}

void class_surfaces_cpu(const KernelContext& c) {
  const int64_t classes = c.as<ClassSurfacesAttributes>().classes;
  Carver carver(c.work);
  auto* bounds = carver.take<Bounds>(chunks_of(c.inputs[0].type.shape) * classes);
  find_bounds(c, classes, bounds);
  for (int64_t label = 1; label < classes; ++label) {
    int32_t* y = c.out<int32_t>(0) + 8 * (label - 1);
    std::fill_n(y, 8, 0);
    Box box = {bounds[label].begin, bounds[label].end};
    if (box.extents[0] == 0) continue;
    for (size_t axis = 0; axis < 3; ++axis) {
      box.extents[axis] -= box.begin[axis];
      y[axis] = static_cast<int32_t>(box.begin[axis]);
      y[3 + axis] = static_cast<int32_t>(box.extents[axis]);
    }
    Carver rest = carver;  // all classes take turns with it
    Surface surface(rest, box.extents);
    surface.find(*c.pool, c.inputs[0], label, box);
    y[6] = static_cast<int32_t>(Surface::count(surface.border));
    y[7] = static_cast<int32_t>(Surface::count(surface.cells));
  }
}

// ---- surface_distances

void infer_surface_distances(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "a", DType::u8);
  c.expect_rank(0, "a", 3);
  c.expect_dtype(1, "b", DType::u8);
  const Shape& shape = c.input(0, "a").shape;
  c.expect_shape(1, "b", shape);
  const auto& attributes = c.attributes<SurfaceDistancesAttributes>();
  const int64_t label = attributes.label;
  c.expect(label >= 1 && label <= 255, "label", "1 to 255", std::to_string(label), ErrorCode::usage);
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t begin = attributes.begin[axis], extent = attributes.extents[axis],
                  all = shape[static_cast<int>(axis)];
    c.expect(begin >= 0 && extent >= 1 && extent <= all - begin, "begin, extents",
             "a box within " + shape.text(),
             std::to_string(begin) + " and " + std::to_string(extent) + " at axis " + std::to_string(axis));
    const double s = attributes.spacing[axis];
    c.expect(s > 0 && std::isfinite(s), "spacing", "three numbers > 0", std::to_string(s), ErrorCode::data);
  }
  for (const int64_t count : attributes.counts)
    c.expect(count >= 0, "counts", "four numbers >= 0", std::to_string(count), ErrorCode::usage);
  for (const int64_t count : attributes.counts) c.output({DType::f32, {count}});
  for (const size_t side : {2, 3}) c.output({DType::u8, {attributes.counts[side]}});
}

/// Both surfaces, and what the search takes.
struct DistancesWork {
  Surface a, b;
  NearestWork nearest;
  DistancesWork(Carver& carver, const Extents& e, int threads)
      : a(carver, e), b(carver, e), nearest(carver, {e[0] + 1, e[1] + 1, e[2] + 1}, threads) {}
};

size_t surface_distances_work(const NodeTypes& types, int threads) {
  Carver carver(nullptr);
  DistancesWork(carver, types.as<SurfaceDistancesAttributes>().extents, threads);
  return carver.used();
}

void surface_distances_cpu(const KernelContext& c) {
  const auto& attributes = c.as<SurfaceDistancesAttributes>();
  const Box box = {attributes.begin, attributes.extents};
  Carver carver(c.work);
  DistancesWork w(carver, box.extents, c.pool->threads());
  w.a.find(*c.pool, c.inputs[0], attributes.label, box);
  w.b.find(*c.pool, c.inputs[1], attributes.label, box);
  const Marks* elements[] = {&w.a.border, &w.b.border, &w.a.cells, &w.b.cells};
  for (size_t i = 0; i < 4; ++i) {
    const int64_t found = Surface::count(*elements[i]);
    if (found != attributes.counts[i])
      throw Error(ErrorCode::usage, "surface_distances: expected " + std::to_string(found) + " for counts[" +
                                        std::to_string(i) + "], received " +
                                        std::to_string(attributes.counts[i]) +
                                        "; give what class_surfaces counts");
  }
  for (size_t i = 0; i < 4; ++i)
    nearest_distances(*c.pool, *elements[i], *elements[i ^ 1], attributes.spacing, w.nearest,
                      c.out<float>(i));
  w.a.write_codes(*c.pool, c.out<uint8_t>(4));
  w.b.write_codes(*c.pool, c.out<uint8_t>(5));
}

template <class Attributes>
void add(OpRegistry& registry, const char* name, void (*infer)(InferContext&), Kernel kernel,
         size_t (*work)(const NodeTypes&, int)) {
  OpDef op = op_definition<Attributes>(name);
  op.infer = infer;
  op.cpu = {kernel};
  op.work_bytes = work;
  registry.add(std::move(op));
}

}  // namespace

void register_surfaces(OpRegistry& registry) {
  add<ClassSurfacesAttributes>(registry, "class_surfaces", &infer_class_surfaces,
                               {"bit_rows", &class_surfaces_cpu}, &class_surfaces_work);
  add<SurfaceDistancesAttributes>(registry, "surface_distances", &infer_surface_distances,
                                  {"separable_search", &surface_distances_cpu}, &surface_distances_work);
}

}  // namespace sfr
