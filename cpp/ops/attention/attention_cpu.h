// Kernels of attention on the CPU and their work memory.
#pragma once
#include <cstddef>

#include "graph/op.h"

namespace sfr {

void attention_cpu(const KernelContext& c);
size_t attention_work_bytes(const NodeTypes& t, int threads);
void attention_backward_cpu(const KernelContext& c);
size_t attention_backward_work_bytes(const NodeTypes& t, int threads);

}  // namespace sfr
