#include "ops/batch_norm/normalise.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/carver.h"
#include "core/chunks.h"
#include "ops/batch_norm/batch_norm.h"

namespace sfr {

namespace {

constexpr int64_t kVector = 16;          // floats of the widest vector
constexpr int64_t kShortestTable = 64;   // narrower tables would wait for their own sums
constexpr int64_t kLongestTable = 1024;  // wider ones would leave the first-level cache
constexpr int64_t kBlockFloats = 4096;   // 16 KiB: a second look finds them in the first-level cache
constexpr int64_t kLeastBlockRows = 8;   // for very many channels: doubles are touched once per so many rows

/// How rows [rows, channels] are walked; a function of the shape alone.
struct Layout {
  int64_t rows, channels, width, block_rows, chunks;

  Range chunk(int64_t i) const { return chunk_range(rows, i, chunks); }
  /// For the second walk: what the first one saw last is still in the cache.
  Range last_first(int64_t i) const { return chunk(chunks - 1 - i); }
};

Layout layout_of(int64_t rows, int64_t channels) {
  Layout l{};
  l.rows = rows;
  l.channels = channels;
  const int64_t whole_vectors = l.channels * (kVector / std::gcd(kVector, l.channels));
  l.width = whole_vectors <= kLongestTable ? whole_vectors : l.channels;
  while (l.width < kShortestTable) l.width *= 2;
  const int64_t wanted = std::max(kBlockFloats / l.channels, kLeastBlockRows);
  const int64_t repeat = l.width / l.channels;
  l.block_rows = std::max<int64_t>(wanted / repeat, 1) * repeat;
  l.chunks = chunk_count(l.rows, kElementGrain / l.channels + 1);
  return l;
}

/// Work memory of the forward pass.
struct ForwardWork {
  double *mean, *squares;  // [chunks][channels]: mean and sum of squared deviations of each chunk
  float* scratch;          // [threads][3][width]
  float *table_mean, *table_scale, *table_bias;  // [width]

  ForwardWork(Carver& carver, const Layout& l, int threads) {
    mean = carver.take<double>(l.chunks * l.channels);
    squares = carver.take<double>(l.chunks * l.channels);
    scratch = carver.take<float>(threads * 3 * l.width);
    table_mean = carver.take<float>(l.width);
    table_scale = carver.take<float>(l.width);
    table_bias = carver.take<float>(l.width);
  }
};

/// Work memory of the backward pass.
struct BackwardWork {
  double *sums, *products;                                                    // [chunks][channels]
  float* scratch;                                                             // [threads][2][width]
  float *table_mean, *table_scale, *table_bias, *table_slope, *table_offset;  // [width]

  BackwardWork(Carver& carver, const Layout& l, int threads) {
    sums = carver.take<double>(l.chunks * l.channels);
    products = carver.take<double>(l.chunks * l.channels);
    scratch = carver.take<float>(threads * 2 * l.width);
    for (float** table : {&table_mean, &table_scale, &table_bias, &table_slope, &table_offset})
      *table = carver.take<float>(l.width);
  }
};

/// Copies the first `channels` entries over the rest of a table.
void repeat_table(float* table, const Layout& l) {
  for (int64_t j = l.channels; j < l.width; ++j) table[j] = table[j - l.channels];
}

/// Joins (count_b, mean_b, squares_b) to mean and squares of `count` elements (Chan, Golub & LeVeque 1979).
void join_moments(double count, double& mean, double& squares, double count_b, double mean_b,
                  double squares_b) {
  const double total = count + count_b, delta = mean_b - mean;
  mean += delta * (count_b / total);
  squares += squares_b + delta * delta * (count * count_b / total);
}

/// Whether every channel's mean lies within a deviation of its center: then at most one binary digit of the
/// squares is lost.
bool is_centered(const float* sums, const float* squares, int64_t count, int64_t channels) {
  for (int64_t c = 0; c < channels; ++c)
    if (2 * sums[c] * sums[c] > squares[c] * static_cast<float>(count)) return false;
  return true;
}

/// Mean and sum of squared deviations of the rows of one chunk. Deviations are taken from the mean so far;
/// where that is far from a block's own, once more from that one.
void chunk_moments(const float* x, const Layout& l, Range rows, double* mean, double* squares,
                   float* scratch) {
  const auto moments = SFR_DISPATCH(channel_moments);
  float *center = scratch, *sums = scratch + l.width, *block_squares = scratch + 2 * l.width;
  std::fill(mean, mean + l.channels, 0.0);
  std::fill(squares, squares + l.channels, 0.0);
  for (int64_t row = rows.begin; row < rows.end; row += l.block_rows) {
    const int64_t n = std::min(l.block_rows, rows.end - row);
    const float* block = x + row * l.channels;
    const double count = static_cast<double>(n), before = static_cast<double>(row - rows.begin);
    const auto take = [&] {
      repeat_table(center, l);
      moments(block, n * l.channels, l.width, l.channels, center, sums, block_squares);
    };
    for (int64_t c = 0; c < l.channels; ++c) center[c] = static_cast<float>(mean[c]);
    take();
    if (!is_centered(sums, block_squares, n, l.channels)) {
      for (int64_t c = 0; c < l.channels; ++c) center[c] += sums[c] / static_cast<float>(n);
      take();
    }
    for (int64_t c = 0; c < l.channels; ++c) {
      const double rest = static_cast<double>(sums[c]) / count;  // from the center to the mean
      const double spread = static_cast<double>(block_squares[c]) - count * rest * rest;
      join_moments(before, mean[c], squares[c], count, static_cast<double>(center[c]) + rest, spread);
    }
  }
}

void take_statistics(ThreadPool& pool, const Normalisation& n, const Layout& l, const ForwardWork& work) {
  pool.parallel_for(l.chunks, [&](int64_t chunk, int thread) {
    chunk_moments(n.x, l, l.chunk(chunk), work.mean + chunk * l.channels, work.squares + chunk * l.channels,
                  work.scratch + thread * 3 * l.width);
  });
  for (int64_t ch = 0; ch < l.channels; ++ch) {
    double mean = work.mean[ch], squares = work.squares[ch];
    for (int64_t chunk = 1; chunk < l.chunks; ++chunk) {
      const Range r = l.chunk(chunk);
      const int64_t at = chunk * l.channels + ch;
      join_moments(static_cast<double>(r.begin), mean, squares, static_cast<double>(r.end - r.begin),
                   work.mean[at], work.squares[at]);
    }
    n.mean[ch] = static_cast<float>(mean);
    n.variance[ch] = static_cast<float>(std::max(squares, 0.0) / static_cast<double>(l.rows));
  }
}

/// Entry of a vector that may be missing.
double at(const float* vector, int64_t channel, double missing) {
  return vector ? static_cast<double>(vector[channel]) : missing;
}

double inverse_deviation(float variance, double epsilon) {
  return 1.0 / std::sqrt(static_cast<double>(variance) + epsilon);
}

void fill_tables(const Layout& l, const float* weight, const float* bias, const float* mean,
                 const float* variance, double epsilon, float* table_mean, float* table_scale,
                 float* table_bias) {
  for (int64_t ch = 0; ch < l.channels; ++ch) {
    table_mean[ch] = mean[ch];
    table_scale[ch] = normal_scale(at(weight, ch, 1), variance[ch], epsilon);
    table_bias[ch] = bias ? bias[ch] : 0.0f;
  }
  for (float* table : {table_mean, table_scale, table_bias}) repeat_table(table, l);
}

/// Sums of the open gradient and of its product with x - mean, per chunk.
void gradient_sums(ThreadPool& pool, const Layout& l, const BackwardWork& work, BatchNormGradientRows job) {
  const auto run = SFR_DISPATCH(batch_norm_gradient_sums);
  pool.parallel_for(l.chunks, [&](int64_t chunk, int thread) {
    BatchNormGradientRows mine = job;
    mine.sums = work.scratch + thread * 2 * l.width;
    mine.products = mine.sums + l.width;
    double *sums = work.sums + chunk * l.channels, *products = work.products + chunk * l.channels;
    std::fill(sums, sums + l.channels, 0.0);
    std::fill(products, products + l.channels, 0.0);
    const Range rows = l.chunk(chunk);
    for (int64_t row = rows.begin; row < rows.end; row += l.block_rows) {
      mine.dy = job.dy + row * l.channels;
      mine.x = job.x + row * l.channels;
      mine.count = std::min(l.block_rows, rows.end - row) * l.channels;
      run(mine);
      for (int64_t ch = 0; ch < l.channels; ++ch) {
        sums[ch] += static_cast<double>(mine.sums[ch]);
        products[ch] += static_cast<double>(mine.products[ch]);
      }
    }
  });
}

/// Writes dweight and dbias and the tables of dx = scale g + slope (x - mean) + offset: with xhat normalised,
/// dx = scale (g - mean(g) - xhat mean(g xhat)) + dmean / rows + dvariance 2 (x - mean) / rows; the running
/// statistics of evaluation are constants, so only the first term is left there.
void finish_sums(const NormalisationGradient& n, const Layout& l, const BackwardWork& work) {
  const double rows = static_cast<double>(l.rows);
  for (int64_t ch = 0; ch < l.channels; ++ch) {
    double sum = 0, product = 0;
    for (int64_t chunk = 0; chunk < l.chunks; ++chunk) {
      sum += work.sums[chunk * l.channels + ch];
      product += work.products[chunk * l.channels + ch];
    }
    const double inverse = inverse_deviation(n.variance[ch], n.epsilon);
    if (n.dweight) n.dweight[ch] = static_cast<float>(product * inverse);
    if (n.dbias) n.dbias[ch] = static_cast<float>(sum);
    const double scale = at(n.weight, ch, 1) * inverse;
    const double offset = (at(n.dmean, ch, 0) - scale * sum) / rows;
    const double slope = (2 * at(n.dvariance, ch, 0) - scale * inverse * inverse * product) / rows;
    work.table_offset[ch] = n.own_statistics ? static_cast<float>(offset) : 0.0f;
    work.table_slope[ch] = n.own_statistics ? static_cast<float>(slope) : 0.0f;
  }
  repeat_table(work.table_offset, l);
  repeat_table(work.table_slope, l);
}

}  // namespace

float normal_scale(double weight, float variance, double epsilon) {
  return static_cast<float>(weight * inverse_deviation(variance, epsilon));
}

void take_statistics(ThreadPool& pool, const Normalisation& n, void* memory) {
  const Layout l = layout_of(n.rows, n.channels);
  Carver carver(memory);
  take_statistics(pool, n, l, ForwardWork(carver, l, pool.threads()));
}

void normalise(ThreadPool& pool, const Normalisation& n, void* memory) {
  const Layout l = layout_of(n.rows, n.channels);
  Carver carver(memory);
  const ForwardWork work(carver, l, pool.threads());
  if (n.own_statistics) take_statistics(pool, n, l, work);
  fill_tables(l, n.weight, n.bias, n.mean, n.variance, n.epsilon, work.table_mean, work.table_scale,
              work.table_bias);
  const auto run = SFR_DISPATCH(batch_norm_rows);
  // In place the lines are in the cache already; the loops keep to whole lines where the channels do.
  const auto bytes = static_cast<size_t>(n.rows * n.channels) * sizeof(float);
  const bool stream = n.y != n.x && n.y != n.skip && l.channels % kVector == 0 && worth_streaming(n.y, bytes);
  pool.parallel_for(l.chunks, [&](int64_t chunk, int) {
    const Range r = l.last_first(chunk);
    const int64_t first = r.begin * l.channels;
    run(BatchNormRows{n.x + first, n.skip ? n.skip + first : nullptr, n.y + first,
                      (r.end - r.begin) * l.channels, l.width, work.table_mean, work.table_scale,
                      work.table_bias, n.relu, stream});
  });
}

void normalise_backward(ThreadPool& pool, const NormalisationGradient& n, void* memory) {
  const Layout l = layout_of(n.rows, n.channels);
  Carver carver(memory);
  const BackwardWork work(carver, l, pool.threads());
  fill_tables(l, n.weight, n.bias, n.mean, n.variance, n.epsilon, work.table_mean, work.table_scale,
              work.table_bias);
  const BatchNormGradientRows job{n.dy,
                                  n.x,
                                  n.dx,
                                  l.rows * l.channels,
                                  l.width,
                                  l.channels,
                                  work.table_mean,
                                  work.table_scale,
                                  work.table_bias,
                                  work.table_slope,
                                  work.table_offset,
                                  nullptr,
                                  nullptr,
                                  n.relu};
  gradient_sums(pool, l, work, job);
  finish_sums(n, l, work);
  const auto run = SFR_DISPATCH(batch_norm_gradient_rows);
  pool.parallel_for(l.chunks, [&](int64_t chunk, int) {
    const Range r = l.last_first(chunk);
    BatchNormGradientRows mine = job;
    mine.dy += r.begin * l.channels;
    mine.x += r.begin * l.channels;
    mine.dx += r.begin * l.channels;
    mine.count = (r.end - r.begin) * l.channels;
    run(mine);
  });
}

size_t normalise_work_bytes(int64_t rows, int64_t channels, int threads) {
  Carver carver(nullptr);
  const ForwardWork work(carver, layout_of(rows, channels), threads);
  return carver.used();
}

size_t normalise_backward_work_bytes(int64_t rows, int64_t channels, int threads) {
  Carver carver(nullptr);
  const BackwardWork work(carver, layout_of(rows, channels), threads);
  return carver.used();
}

}  // namespace sfr
