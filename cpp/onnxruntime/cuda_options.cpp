#include "onnxruntime/cuda_options.h"

#include <string>
#include <utility>
#include <vector>

namespace sfr::ort {

Owned<abi::CudaProviderOptions, abi::ReleaseCudaOptions> make_cuda_options(const Api& api,
                                                                           const CudaOptions& options) {
  auto made = api.create<abi::CudaProviderOptions, abi::CreateCudaOptions, abi::ReleaseCudaOptions>();
  std::vector<std::pair<const char*, std::string>> all = {
      {"device_id", std::to_string(options.device)},
      {"use_tf32", options.tf32 ? "1" : "0"},
      {"enable_cuda_graph", options.graph ? "1" : "0"},
      // The arena takes what a network needs, not the next power of two of it.
      {"arena_extend_strategy", "kSameAsRequested"},
  };
  if (options.memory_bytes > 0) all.emplace_back("gpu_mem_limit", std::to_string(options.memory_bytes));
  std::vector<const char*> keys, values;
  for (const auto& entry : all) {
    keys.push_back(entry.first);
    values.push_back(entry.second.c_str());
  }
  api.call<abi::UpdateCudaOptions>(made.get(), keys.data(), values.data(), keys.size());
  if (options.stream != nullptr)
    api.call<abi::UpdateCudaOptionPointer>(made.get(), "user_compute_stream", options.stream);
  return made;
}

void append_cuda(const Api& api, abi::SessionOptions* session, const CudaOptions& options) {
  const auto made = make_cuda_options(api, options);
  api.call<abi::AppendCuda>(session, made.get());
}

}  // namespace sfr::ort
