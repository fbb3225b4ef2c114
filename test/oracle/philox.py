"""Philox4x32-10 random numbers (Salmon et al. 2011), the same stream as the engine's `cpp/core/rng`.

A number is a pure function of (seed, stream name, step, index): nothing is ever drawn in sequence.

- counter words = (low 32 bits of the block, high 32 bits of the block, step, stream id)
- key = (low 32 bits of the seed, high 32 bits of the seed)
- stream id = FNV-1a, 32 bits, of the UTF-8 name
- element i of a stream = word i % 4 of block i // 4
- uniform = (word >> 8) * 2^-24, in [0, 1)
- normal = Box-Muller of the word pairs (0, 1) and (2, 3) of a block, computed in double, rounded to f32:
  u1 = ((w >> 8) + 1) * 2^-24, u2 = (w' >> 8) * 2^-24, r = sqrt(-2 ln u1);
  the even element is r cos(2 pi u2), the odd one r sin(2 pi u2)
"""

import numpy as np

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)
ROUNDS = 10
# Blocks made at a time: bounds the memory (a block costs about 100 bytes while it is computed).
CHUNK_BLOCKS = 1 << 18


def stream_id(name: str) -> int:
    """FNV-1a, 32 bits, of the UTF-8 bytes of `name`."""
    value = 0x811C9DC5
    for byte in name.encode("utf-8"):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def blocks(seed: int, stream: int, step: int, first: int, count: int) -> np.ndarray:
    """Words [count, 4] (uint32) of the blocks first .. first + count - 1."""
    index = np.arange(first, first + count, dtype=np.uint64)
    c0, c1 = index & LOW, index >> SHIFT
    c2 = np.full(count, step & 0xFFFFFFFF, np.uint64)
    c3 = np.full(count, stream & 0xFFFFFFFF, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (p1 >> SHIFT) ^ c1 ^ np.uint64(k0),
            p1 & LOW,
            (p0 >> SHIFT) ^ c3 ^ np.uint64(k1),
            p0 & LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _chunks(count: int):
    total = (count + 3) // 4
    for first in range(0, total, CHUNK_BLOCKS):
        yield first, min(CHUNK_BLOCKS, total - first)


def words(name: str, count: int, seed: int = 1, step: int = 0) -> np.ndarray:
    """The first `count` raw 32-bit words of a stream."""
    parts = [blocks(seed, stream_id(name), step, first, n).ravel() for first, n in _chunks(count)]
    return np.concatenate(parts)[:count] if parts else np.empty(0, np.uint32)


def uniform(name: str, shape: tuple[int, ...], seed: int = 1, step: int = 0) -> np.ndarray:
    """Uniform f32 in [0, 1), row-major over `shape`."""
    count = int(np.prod(shape, dtype=np.int64))
    scaled = (words(name, count, seed, step) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return scaled.reshape(shape)


def normal(name: str, shape: tuple[int, ...], seed: int = 1, step: int = 0) -> np.ndarray:
    """Standard normal f32, row-major over `shape`."""
    count = int(np.prod(shape, dtype=np.int64))
    out = np.empty(((count + 3) // 4) * 4, np.float32)
    for first, n in _chunks(count):
        top = (blocks(seed, stream_id(name), step, first, n) >> np.uint32(8)).astype(np.float64)
        radius = np.sqrt(-2.0 * np.log((top[:, 0::2] + 1.0) * 2.0**-24))
        angle = 2.0 * np.pi * (top[:, 1::2] * 2.0**-24)
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
        out[4 * first : 4 * (first + n)] = pairs.reshape(-1)
    return out[:count].reshape(shape)
