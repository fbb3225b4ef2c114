// Kernels of batch_norm and the work memory they need; between batch_norm.cpp and batch_norm_cpu.cpp.
#pragma once
#include "graph/op.h"

namespace sfr {

void batch_norm_cpu(const KernelContext& c);
void batch_norm_backward_cpu(const KernelContext& c);
void batch_norm_update_cpu(const KernelContext& c);

size_t batch_norm_work_bytes(const NodeTypes& types, int threads);
size_t batch_norm_backward_work_bytes(const NodeTypes& types, int threads);

}  // namespace sfr
