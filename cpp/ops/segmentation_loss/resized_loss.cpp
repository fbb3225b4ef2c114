#include "ops/segmentation_loss/resized_loss.h"

#include <algorithm>

#include "core/chunks.h"
#include "ops/resize_bilinear/resize_bilinear.h"

namespace sfr {

namespace {

/// Extents of both grids; in-rows hold logits, out-rows labels.
struct Grids {
  int64_t batch, in_rows, in_columns, out_rows, out_columns, classes;
  int64_t in_floats() const { return in_columns * classes; }
  int64_t out_floats() const { return out_columns * classes; }
};

Grids grids_of(const Shape& logits, const Shape& labels) {
  return {logits[0], logits[1], logits[2], labels[1], labels[2], logits[3]};
}

size_t aligned(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

size_t tap_bytes(const Grids& g) {
  return aligned(static_cast<size_t>(g.out_rows + g.out_columns) * sizeof(ResizeTap));
}

/// A thread's rows: two of logits (blended, and their gradient) and one at the labels' size.
size_t row_bytes(const Grids& g) {
  return aligned(static_cast<size_t>(2 * g.in_floats() + g.out_floats()) * sizeof(float));
}

/// Work memory: taps, what `before` counts, then the rows of the threads.
struct Work {
  ResizeTap *rows, *columns;
  std::byte* shared;
  std::byte* threads;
  float* blended(const Grids& g, int thread) const {
    return reinterpret_cast<float*>(threads + static_cast<size_t>(thread) * row_bytes(g));
  }
};

Work work_of(const KernelContext& c, const Grids& g, size_t shared_bytes) {
  Work w;
  w.rows = static_cast<ResizeTap*>(c.work);
  w.columns = w.rows + g.out_rows;
  w.shared = static_cast<std::byte*>(c.work) + tap_bytes(g);
  w.threads = w.shared + aligned(shared_bytes);
  fill_resize_taps(g.in_rows, g.out_rows, w.rows);
  fill_resize_taps(g.in_columns, g.out_columns, w.columns);
  return w;
}

/// One row of logits at the labels' size, into `out`.
void resize_row(const Grids& g, const Work& w, const float* image, int64_t row, float* blended, float* out) {
  const ResizeTap& tap = w.rows[row];
  SFR_DISPATCH(blend_rows)
  (image + tap.low * g.in_floats(), image + tap.high * g.in_floats(), tap.weight, g.in_floats(), blended);
  SFR_DISPATCH(blend_columns)(blended, w.columns, g.out_columns, g.classes, out);
}

int64_t forward_chunks(const Grids& g) {
  return chunk_count(g.batch * g.out_rows, kElementGrain / g.out_floats() + 1);
}

/// Per chunk: its sums, those of a row, and the position of a bad label.
size_t sum_bytes(const Grids& g) {
  return static_cast<size_t>(forward_chunks(g) * (2 * (3 * g.classes + 1) + 1)) * sizeof(double);
}

int64_t backward_chunks_per_item(const Grids& g) {
  return chunk_count(g.in_rows, kElementGrain / std::max(g.in_floats(), g.out_floats()) + 1);
}

}  // namespace

bool is_resized(const Shape& logits, const Shape& labels) {
  return logits.rank() == 4 && labels.rank() == 3 && logits[0] == labels[0] && logits.count() > 0 &&
         labels.count() > 0 && (logits[1] != labels[1] || logits[2] != labels[2]);
}

size_t resized_loss_work_bytes(const Shape& logits, const Shape& labels, int threads) {
  const Grids g = grids_of(logits, labels);
  return tap_bytes(g) + aligned(sum_bytes(g)) + static_cast<size_t>(threads) * row_bytes(g);
}

LossSums sum_resized_rows(const KernelContext& c) {
  const auto loss = SFR_DISPATCH(segmentation_loss_rows);
  const Grids g = grids_of(c.inputs[0].type.shape, c.inputs[1].type.shape);
  const Work w = work_of(c, g, sum_bytes(g));
  const int64_t rows = g.batch * g.out_rows, chunks = forward_chunks(g), pitch = 3 * g.classes + 1;
  auto* sums = reinterpret_cast<double*>(w.shared);
  double* row_sums = sums + chunks * pitch;
  auto* bad = reinterpret_cast<int64_t*>(row_sums + chunks * pitch);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int thread) {
    double *mine = sums + chunk * pitch, *row = row_sums + chunk * pitch;
    std::fill(mine, mine + pitch, 0.0);
    bad[chunk] = -1;
    float *blended = w.blended(g, thread), *out = blended + 2 * g.in_floats();
    const Range r = chunk_range(rows, chunk, chunks);
    for (int64_t i = r.begin; i < r.end && bad[chunk] < 0; ++i) {
      const float* image = c.in<float>(0) + i / g.out_rows * g.in_rows * g.in_floats();
      resize_row(g, w, image, i % g.out_rows, blended, out);
      const int64_t at = loss(out, c.in<uint8_t>(1) + i * g.out_columns, g.out_columns, g.classes, row);
      if (at >= 0) bad[chunk] = i * g.out_columns + at;
      for (int64_t k = 0; k < pitch; ++k) mine[k] += row[k];
    }
  });
  return {sums, bad, chunks};
}

size_t resized_loss_backward_work_bytes(const Shape& logits, const Shape& labels, int threads) {
  const Grids g = grids_of(logits, labels);
  return tap_bytes(g) + static_cast<size_t>(threads) * row_bytes(g);
}

/// A chunk owns some rows of the gradient and goes over the out-rows that read them; those at its borders are
/// done by the neighbour as well.
void resized_loss_backward(const KernelContext& c, const LossFactors& f) {
  const auto backward = SFR_DISPATCH(segmentation_loss_backward_rows);
  const auto gather = SFR_DISPATCH(gather_columns);
  const auto add = SFR_DISPATCH(add_scaled_row);
  const Grids g = grids_of(c.inputs[0].type.shape, c.inputs[1].type.shape);
  const Work w = work_of(c, g, 0);
  const int64_t per_item = backward_chunks_per_item(g);
  c.pool->parallel_for(g.batch * per_item, [&](int64_t chunk, int thread) {
    const int64_t item = chunk / per_item;
    const Range own = chunk_range(g.in_rows, chunk % per_item, per_item);
    const float* image = c.in<float>(0) + item * g.in_rows * g.in_floats();
    float* gradient = c.out<float>(0) + item * g.in_rows * g.in_floats();
    std::fill(gradient + own.begin * g.in_floats(), gradient + own.end * g.in_floats(), 0.0f);
    float* blended = w.blended(g, thread);
    float *in = blended + g.in_floats(), *out = in + g.in_floats();
    // Taps rise with the out-row: those that read this chunk's rows are neighbours.
    const ResizeTap* tap = std::lower_bound(w.rows, w.columns, own.begin,
                                            [](const ResizeTap& t, int64_t row) { return t.high < row; });
    for (; tap != w.columns && tap->low < own.end; ++tap) {
      const int64_t row = tap - w.rows;
      resize_row(g, w, image, row, blended, out);
      backward(out, c.in<uint8_t>(1) + (item * g.out_rows + row) * g.out_columns, g.out_columns, g.classes,
               f.entropy, f.label, f.square, out);
      gather(out, w.columns, g.out_columns, g.in_columns, g.classes, in);
      if (tap->low >= own.begin)
        add(in, 1.0f - tap->weight, g.in_floats(), gradient + tap->low * g.in_floats());
      if (tap->high >= own.begin && tap->high < own.end)
        add(in, tap->weight, g.in_floats(), gradient + tap->high * g.in_floats());
    }
  });
}

}  // namespace sfr
