// Options of ONNX Runtime's CUDA provider.
#pragma once
#include <cstdint>

#include "onnxruntime/abi.h"

namespace sfr::ort {

struct CudaOptions {
  int device = 0;
  /// Most that the provider's arena may take, bytes; 0: all there is.
  uint64_t memory_bytes = 0;
  /// Matrix products and convolutions of f32 with 10 bits of mantissa: faster, and no parity with other
  /// engines.
  bool tf32 = false;
  /// Replays the kernels of the third run as one; needs fixed shapes, and all inputs and outputs in device
  /// memory that stays where it is.
  bool graph = false;
  /// The cudaStream_t that the network shall run on, which must outlive the session; null: one of the
  /// provider's own.
  void* stream = nullptr;
};

/// The provider's options. Loads its library; throws Refusal, whose text names a missing file, device or
/// option.
Owned<abi::CudaProviderOptions, abi::ReleaseCudaOptions> make_cuda_options(const Api& api,
                                                                           const CudaOptions& options);

/// Adds the provider to a session's options. Throws Refusal.
void append_cuda(const Api& api, abi::SessionOptions* session, const CudaOptions& options);

}  // namespace sfr::ort
