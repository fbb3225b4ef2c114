// Normalisation of rows of channels by one set of statistics: the whole batch of batch_norm, a sample of
// instance_norm.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"

namespace sfr {

/// y = relu?((x - mean) / sqrt(variance + epsilon) * weight + bias) + skip?; x, y and skip are
/// [rows][channels], the others [channels]. Weight, bias and skip may be null: 1, 0, nothing.
struct Normalisation {
  int64_t rows, channels;
  const float *x, *weight, *bias, *skip;
  float *y, *mean, *variance;
  bool own_statistics;  // mean and variance are those of x and are written, else they are given
  bool relu;
  double epsilon;
};

void normalise(ThreadPool& pool, const Normalisation& n, void* work);
/// Mean and variance of n.x alone, with the same work memory; everything behind `variance` is ignored.
void take_statistics(ThreadPool& pool, const Normalisation& n, void* work);
/// What x - mean is multiplied by: weight / sqrt(variance + epsilon), the same bits wherever it is needed, so
/// that the relu masks of both passes agree. `weight` is 1 where there is none.
float normal_scale(double weight, float variance, double epsilon);
size_t normalise_work_bytes(int64_t rows, int64_t channels, int threads);

/// dx, dweight and dbias of the above for dy, and for dmean and dvariance where the statistics are those of
/// x. Any of weight, bias, dmean, dvariance, dweight and dbias may be null.
struct NormalisationGradient {
  int64_t rows, channels;
  const float *dy, *x, *weight, *bias, *mean, *variance, *dmean, *dvariance;
  float *dx, *dweight, *dbias;
  bool own_statistics, relu;
  double epsilon;
};

void normalise_backward(ThreadPool& pool, const NormalisationGradient& n, void* work);
size_t normalise_backward_work_bytes(int64_t rows, int64_t channels, int threads);

}  // namespace sfr
