// Optimisers walk all parameters of a model as one long array, so that many small tensors cost one dispatch.
#pragma once
#include "core/chunks.h"
#include "core/tensor.h"
#include "core/thread_pool.h"

namespace sfr {

/// Calls piece(i, begin, end) for elements [begin, end) of tensor i, over all tensors i = 0 .. count - 1 of
/// which `elements(i)` gives the sizes, in parallel. Chunks depend on the sizes alone.
template <class Elements, class Piece>
void over_parameters(ThreadPool& pool, size_t count, Elements elements, Piece piece) {
  int64_t total = 0;
  for (size_t i = 0; i < count; ++i) total += elements(i);
  const int64_t chunks = chunk_count(total, kElementGrain);
  pool.parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(total, chunk, chunks);
    int64_t start = 0;
    for (size_t i = 0; i < count && start < r.end; ++i) {
      const int64_t size = elements(i), begin = std::max(r.begin - start, int64_t{0}),
                    end = std::min(r.end - start, size);
      if (begin < end) piece(i, begin, end);
      start += size;
    }
  });
}

}  // namespace sfr
