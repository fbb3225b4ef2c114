// All plain matrix products: linear, its gradients, linear_lora and matmul.
#include "cuda/tiled_product.h"
#include "ops/linear/linear.h"

namespace sfr::cuda {

template <class A, class B>
SFR_DEVICE void product(const ProductArgs& args, const A& a, const B& b) {
  const int64_t z = blockIdx.z;
  const Depth depth =
      args.parts > 1 ? Depth{args.k * z / args.parts, args.k * (z + 1) / args.parts} : Depth{0, args.k};
  const int64_t first = z * args.m * args.c_row;
  tiled_product(args.m, args.n, depth, a, b, [&](int64_t i, int64_t j, float sum) {
    const int64_t at = first + i * args.c_row + j;
    const float biased = args.bias != nullptr ? sum + args.bias[j] : sum;
    args.c[at] = args.start.data != nullptr ? args.start[at] + biased : biased;
  });
}

SFR_DEVICE int64_t batch_of(const ProductArgs& args) {
  return args.parts > 1 ? 0 : blockIdx.z;
}

SFR_DEVICE Strided matrix_a(const ProductArgs& args) {
  return {args.a + batch_of(args) * args.a_batch, args.a_row, args.a_column};
}

SFR_DEVICE Strided matrix_b(const ProductArgs& args) {
  return {args.b + batch_of(args) * args.b_batch, args.b_row, args.b_column};
}

SFR_KERNEL(products, ProductArgs) {
  product(args, matrix_a(args), matrix_b(args));
}

SFR_KERNEL(products_rounded, ProductArgs) {
  product(args, Rounded<Strided>{matrix_a(args)}, matrix_b(args));
}

}  // namespace sfr::cuda
