#include "core/rng.h"
#include "cuda/kernel.h"
#include "ops/noise/noise.h"

namespace sfr::cuda {

SFR_KERNEL(gaussian_noise, NoiseArgs) {
  const RandomKey key = key_from_words(args.rng, args.stream);
  over_elements(args.count, [&](int64_t i) {
    const auto words = philox(key, static_cast<uint64_t>(i / 4));
    const size_t pair = static_cast<size_t>(i % 4 / 2 * 2);
    const auto normals = normals_from_words(words[pair], words[pair + 1]);
    const float v = args.scale * static_cast<float>(normals[static_cast<size_t>(i % 2)]);
    args.y[i] = fminf(fmaxf(v, -args.limit), args.limit);
  });
}

SFR_KERNEL(uniform_noise, NoiseArgs) {
  const RandomKey key = key_from_words(args.rng, args.stream);
  over_elements(args.count, [&](int64_t i) {
    const auto words = philox(key, static_cast<uint64_t>(i / 4));
    args.y[i] = args.scale * (2 * uniform_from_word(words[static_cast<size_t>(i % 4)]) - 1);
  });
}

}  // namespace sfr::cuda
