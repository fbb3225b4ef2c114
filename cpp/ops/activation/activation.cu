#include "cuda/bf16.h"
#include "ops/activation/activation.h"

namespace sfr::cuda {

SFR_KERNEL(relu, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) {
    const float a = args.a[i];
    args.y[i] = a < 0 ? 0.0f : a;
  });
}

SFR_KERNEL(relu_backward, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.b[i] > 0 ? args.a[i] : 0.0f; });
}

SFR_KERNEL(sigmoid, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = 1 / (1 + expf(-args.a[i])); });
}

/// Not named as the function it calls.
SFR_KERNEL(tangent, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = tanhf(args.a[i]); });
}

/// Phi(x); through the tail where it is small, so that no digits cancel.
SFR_DEVICE float normal_distribution(float x) {
  return 0.5f * erfcf(x * -0.707106781f);
}

SFR_KERNEL(gelu, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) { args.y[i] = args.a[i] * normal_distribution(args.a[i]); });
}

SFR_KERNEL(gelu_backward, ActivationArgs) {
  over_elements(args.count, [&](int64_t i) {
    const float x = args.b[i];
    args.y[i] = args.a[i] * (x * 0.398942280f * expf(-0.5f * x * x) + normal_distribution(x));
  });
}

}  // namespace sfr::cuda
