// batch_norm: y = relu?((x - mean) / sqrt(variance + epsilon) * weight + bias) + skip?, per channel
// (Ioffe & Szegedy 2015; equals torch.nn.BatchNorm3d).
//   x [.., C]  weight [C]  bias [C]  running_mean [C]  running_variance [C]  skip? [.., C]
//   -> y [.., C], mean [C], variance [C] (biased; of the batch when training, else the running ones)
//   relu and skip are set by the pass fuse_batch_norm; batch_norm_update moves the running statistics.
#pragma once
#include <cstddef>

namespace sfr {

struct BatchNormAttributes {
  bool training = true;
  bool relu = false;
  double epsilon = 1e-5;
  template <class V>
  void visit(V& v) {
    v("training", training);
    v("relu", relu);
    v("epsilon", epsilon);
  }
};

/// Index of the optional input `skip`.
inline constexpr size_t kBatchNormSkip = 5;

}  // namespace sfr
