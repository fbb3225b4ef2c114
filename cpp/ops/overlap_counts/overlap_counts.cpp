// overlap_counts: how often each pair of labels meets; Dice and Jaccard follow from it (src/metrics).
//   prediction [..] u8, reference [..] u8 (same shape), attribute classes = K -> counts [K, K] i32, row =
//   reference label, column = predicted label. Not differentiable. Errors: data when a label is K or more
//   (ignored voxels, 255, have no place here); shape for more than 2^31 - 1 voxels.
#include <atomic>
#include <cstring>

#include "core/chunks.h"
#include "graph/graph.h"

namespace sfr {

namespace {

struct OverlapAttributes {
  int64_t classes = 2;
  template <class V>
  void visit(V& v) {
    v("classes", classes);
  }
};

void infer(InferContext& c) {
  c.expect_inputs(2, 2);
  c.expect_dtype(0, "prediction", DType::u8);
  c.expect_dtype(1, "reference", DType::u8);
  c.expect_shape(1, "reference", c.input(0, "prediction").shape);
  const int64_t classes = c.attributes<OverlapAttributes>().classes;
  c.expect(classes >= 1 && classes <= 256, "classes", "1 to 256", std::to_string(classes), ErrorCode::usage);
  c.expect(c.input(0, "prediction").shape.count() <= INT32_MAX, "prediction", "at most 2^31 - 1 voxels",
           c.input(0, "prediction").text());
  c.output({DType::i32, {classes, classes}});
}

int64_t chunks_of(const Shape& shape) {
  return chunk_count(shape.count(), 8 * kElementGrain);
}

/// Per chunk a table of its own.
size_t work_bytes(const NodeTypes& types, int) {
  return static_cast<size_t>(chunks_of(types.input(0).shape) * types.outputs[0].shape.count()) *
         sizeof(int32_t);
}

/// Counts pairs; eight voxels at once where both volumes hold one label, as inside organs and background.
/// Returns the first label that is `classes` or more, or -1.
int count_pairs(const uint8_t* prediction, const uint8_t* reference, int64_t count, int64_t classes,
                int32_t* table) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  for (int64_t i = 0; i < count;) {
    const uint8_t p = prediction[i], r = reference[i];
    if (p >= classes || r >= classes) return p >= classes ? p : r;
    int64_t run = 1;
    if (i + 8 <= count) {
      uint64_t eight_p, eight_r;
      std::memcpy(&eight_p, prediction + i, 8);
      std::memcpy(&eight_r, reference + i, 8);
      if (eight_p == kOnes * p && eight_r == kOnes * r) run = 8;
    }
    table[r * classes + p] += static_cast<int32_t>(run);
    i += run;
  }
  return -1;
}

void overlap_counts_cpu(const KernelContext& c) {
  const int64_t classes = c.as<OverlapAttributes>().classes, cells = classes * classes;
  const int64_t count = c.inputs[0].count(), chunks = chunks_of(c.inputs[0].type.shape);
  auto* tables = static_cast<int32_t*>(c.work);
  std::atomic<int> wrong{-1};
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    int32_t* table = tables + chunk * cells;
    std::memset(table, 0, static_cast<size_t>(cells) * sizeof(int32_t));
    const int label =
        count_pairs(c.in<uint8_t>(0) + r.begin, c.in<uint8_t>(1) + r.begin, r.end - r.begin, classes, table);
    if (label >= 0) wrong.store(label, std::memory_order_relaxed);
  });
  if (wrong >= 0)
    throw Error(ErrorCode::data, "overlap_counts: expected labels below " + std::to_string(classes) +
                                     " for prediction and reference, received " + std::to_string(wrong));
  for (int64_t i = 0; i < cells; ++i) {
    int32_t total = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) total += tables[chunk * cells + i];
    c.out<int32_t>(0)[i] = total;
  }
}

}  // namespace

void register_overlap_counts(OpRegistry& registry) {
  OpDef op = op_definition<OverlapAttributes>("overlap_counts");
  op.infer = &infer;
  op.cpu = {{"tables_per_chunk", &overlap_counts_cpu}};
  op.work_bytes = &work_bytes;
  registry.add(std::move(op));
}

}  // namespace sfr
