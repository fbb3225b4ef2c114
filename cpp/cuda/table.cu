// libsfr_cuda's function table: the CUDA runtime, linked statically, and the kernels of this library.
#include <cuda_runtime.h>

#include <cstdio>

#include "cuda/kernel.h"
#include "device/device_table.h"

namespace {

/// Beyond the runtime's own statuses.
constexpr int kUnknownKernel = 1000001;

const char* error_text(int status) {
  return status == kUnknownKernel ? "no such kernel, or another parameter"
                                  : cudaGetErrorString(static_cast<cudaError_t>(status));
}

/// Every kernel, while nothing is captured: loading one on its first launch would break a capture. Fails
/// where the library has no code for the card.
cudaError_t load_kernels() {
  cudaFuncAttributes attributes;
  for (auto* entry = sfr::cuda::first_kernel(); entry != nullptr; entry = entry->next)
    if (const cudaError_t status = cudaFuncGetAttributes(&attributes, entry->function)) return status;
  return cudaSuccess;
}

int use(int ordinal, SfrDeviceInfo* info) {
  if (const cudaError_t status = cudaSetDevice(ordinal)) return status;
  if (info == nullptr) return cudaSuccess;
  cudaDeviceProp properties;
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, ordinal)) return status;
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  if (const cudaError_t status = load_kernels()) return status;
  return cudaMemGetInfo(&info->free_bytes, &info->memory_bytes);
}

int allocate(size_t bytes, void** memory) {
  const cudaError_t status = cudaMalloc(memory, bytes);
  if (status != cudaSuccess) cudaGetLastError();  // else the next launch would report it
  return status;
}

int release(void* memory) {
  return cudaFree(memory);
}

int allocate_pinned(size_t bytes, void** memory) {
  return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

int release_pinned(void* memory) {
  return cudaFreeHost(memory);
}

cudaStream_t as_stream(void* stream) {
  return static_cast<cudaStream_t>(stream);
}

int create_stream(void** stream) {
  return cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t*>(stream), cudaStreamNonBlocking);
}

int destroy_stream(void* stream) {
  return cudaStreamDestroy(as_stream(stream));
}

int synchronize(void* stream) {
  return cudaStreamSynchronize(as_stream(stream));
}

int copy(void* to, const void* from, size_t bytes, void* stream) {
  return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, as_stream(stream));
}

int fill(void* memory, int byte, size_t bytes, void* stream) {
  return cudaMemsetAsync(memory, byte, bytes, as_stream(stream));
}

int launch(const char* kernel, const uint32_t grid[3], uint32_t block, const void* args, size_t args_bytes,
           void* stream) {
  const sfr::cuda::KernelEntry* entry = sfr::cuda::find_kernel(kernel);
  if (entry == nullptr || entry->args_bytes != args_bytes) return kUnknownKernel;
  void* parameters[] = {const_cast<void*>(args)};
  return cudaLaunchKernel(entry->function, dim3(grid[0], grid[1], grid[2]), dim3(block), parameters, 0,
                          as_stream(stream));
}

cudaEvent_t as_event(void* event) {
  return static_cast<cudaEvent_t>(event);
}

int create_event(void** event) {
  return cudaEventCreate(reinterpret_cast<cudaEvent_t*>(event));
}

int destroy_event(void* event) {
  return cudaEventDestroy(as_event(event));
}

int record_event(void* event, void* stream) {
  return cudaEventRecord(as_event(event), as_stream(stream));
}

int elapsed(void* from, void* to, double* seconds) {
  float milliseconds = 0;
  const cudaError_t status = cudaEventElapsedTime(&milliseconds, as_event(from), as_event(to));
  *seconds = static_cast<double>(milliseconds) * 1e-3;
  return status;
}

int begin_capture(void* stream) {
  return cudaStreamBeginCapture(as_stream(stream), cudaStreamCaptureModeThreadLocal);
}

int end_capture(void* stream, void** graph) {
  cudaGraph_t recorded = nullptr;
  if (const cudaError_t status = cudaStreamEndCapture(as_stream(stream), &recorded)) return status;
  const cudaError_t status =
      cudaGraphInstantiateWithFlags(reinterpret_cast<cudaGraphExec_t*>(graph), recorded, 0);
  cudaGraphDestroy(recorded);
  return status;
}

int launch_graph(void* graph, void* stream) {
  return cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), as_stream(stream));
}

int destroy_graph(void* graph) {
  return cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

#define SFR_TABLE_ENTRY(name) &name
const SfrDeviceTable table = {SFR_DEVICE_TABLE_VERSION, "cuda", SFR_DEVICE_FUNCTIONS(SFR_TABLE_ENTRY),
                              nullptr};
#undef SFR_TABLE_ENTRY

}  // namespace

extern "C" __attribute__((visibility("default"))) const SfrDeviceTable* sfr_device_table(void) {
  return &table;
}
