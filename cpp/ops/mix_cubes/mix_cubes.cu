// Memory-bound; each thread finds the sample of its element's cube, a Philox block for every two samples.
#include "cuda/kernel.h"
#include "ops/mix_cubes/mix_cubes.h"

namespace sfr::cuda {

SFR_KERNEL(mix_cubes, MixCubesArgs) {
  const RandomKey key = key_from_words(args.rng, args.stream);
  const int64_t rows = args.h / args.side, columns = args.w / args.side;
  const int64_t volume = args.d * args.h * args.w * args.channels;
  over_elements(args.samples * volume, [&](int64_t i) {
    const int64_t place = i / volume, voxel = i % volume / args.channels, line = voxel / args.w;
    const int64_t p =
        (line / args.h / args.side * rows + line % args.h / args.side) * columns + voxel % args.w / args.side;
    const int64_t sample = sample_at(key, p, args.samples, place);
    const int64_t from = args.undo ? place : sample, to = args.undo ? sample : place;
    args.y[to * volume + i % volume] = args.x[from * volume + i % volume];
  });
}

}  // namespace sfr::cuda
