// How work is cut: at most 64 chunks whose number and bounds depend on the size alone, never on the threads.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sfr {

inline constexpr int64_t kMaxChunks = 64;

struct Range {
  int64_t begin, end;
};

/// Chunks for `count` items of which `grain` are worth a chunk of their own.
inline int64_t chunk_count(int64_t count, int64_t grain) {
  return std::clamp<int64_t>((count + grain - 1) / std::max<int64_t>(grain, 1), count > 0 ? 1 : 0,
                             kMaxChunks);
}

/// Items of chunk `chunk` out of `chunks`.
inline Range chunk_range(int64_t count, int64_t chunk, int64_t chunks) {
  return {count * chunk / chunks, count * (chunk + 1) / chunks};
}

/// Results of this many bytes and more leave the caches before anybody reads them: they are written past
/// them.
inline constexpr size_t kStreamBytes = size_t{32} << 20;

/// Whether a result of `bytes` at `p` is to be written with streaming stores, which want whole cache lines.
inline bool worth_streaming(const void* p, size_t bytes) {
  return bytes >= kStreamBytes && reinterpret_cast<uintptr_t>(p) % 64 == 0;
}

/// Elements per chunk for memory-bound loops: 64 KiB of f32.
inline constexpr int64_t kElementGrain = 16384;

}  // namespace sfr
