// instance_norm: y = relu?((x - mean) / sqrt(variance + epsilon)), per sample and channel (Ulyanov, Vedaldi &
// Lempitsky 2016; equals torch.nn.InstanceNorm3d without affine parameters and running statistics).
//   x [N, .., C]  mean? [N, C]  variance? [N, C] -> y [N, .., C], mean [N, C], variance [N, C] (biased)
//   Attributes: those of batch_norm. training: the statistics are those of x, and none are given; else the
//   given ones are used, which no gradient flows to: asking for it throws Error(usage). relu is set by the
//   pass fuse_batch_norm. Any C; at least one element per sample and channel. May run in place of x.
// instance_norm_backward: dy [N, .., C]  x [N, .., C]  mean [N, C]  variance [N, C]
//   dmean? [N, C]  dvariance? [N, C] (gradients of the outputs mean and variance; ignored unless training)
//   -> dx [N, .., C]. Same attributes as forward. May run in place of dy.
#pragma once
#include "ops/batch_norm/batch_norm.h"
