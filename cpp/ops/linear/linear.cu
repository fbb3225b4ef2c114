// All plain matrix products: linear, its gradients, and matmul.
#include "cuda/tiled_product.h"
#include "ops/linear/linear.h"

namespace sfr::cuda {

SFR_KERNEL(products, ProductArgs) {
  const int64_t z = blockIdx.z, batch = args.parts > 1 ? 0 : z;
  const Depth depth =
      args.parts > 1 ? Depth{args.k * z / args.parts, args.k * (z + 1) / args.parts} : Depth{0, args.k};
  const Strided a{args.a + batch * args.a_batch, args.a_row, args.a_column};
  const Strided b{args.b + batch * args.b_batch, args.b_row, args.b_column};
  float* c = args.c + z * args.m * args.n;
  tiled_product(args.m, args.n, depth, a, b, [&](int64_t i, int64_t j, float sum) {
    c[i * args.n + j] = args.bias != nullptr ? sum + args.bias[j] : sum;
  });
}

}  // namespace sfr::cuda
