#include "cuda/kernel.h"
#include "ops/fourier_positions/fourier_positions.h"

namespace sfr::cuda {

SFR_KERNEL(fourier_positions, FourierPositionsArgs) {
  over_elements(args.height * args.width * args.features, [&](int64_t i) {
    const int64_t f = i % args.features, cell = i / args.features, x = cell % args.width,
                  y = cell / args.width;
    const double cx = 2 * ((static_cast<double>(x) + 0.5) / static_cast<double>(args.width)) - 1;
    const double cy = 2 * ((static_cast<double>(y) + 0.5) / static_cast<double>(args.height)) - 1;
    const double angle = 6.283185307179586 * (cx * static_cast<double>(args.matrix[f]) +
                                              cy * static_cast<double>(args.matrix[args.features + f]));
    float* out = args.y + cell * 2 * args.features;
    out[f] = static_cast<float>(sin(angle));
    out[args.features + f] = static_cast<float>(cos(angle));
  });
}

}  // namespace sfr::cuda
