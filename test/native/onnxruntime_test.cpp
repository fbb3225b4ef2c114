// What is passed to ONNX Runtime, seen by a table of functions of our own in the place of its library's.
#include <cstring>

#include "core/error.h"
#include "native/expect.h"
#include "onnxruntime/session.h"

namespace sfr::test {

namespace {

using namespace sfr::ort;

/// Calls that were made, one word each.
std::vector<std::string>& calls() {
  static std::vector<std::string> list;
  return list;
}

std::string joined() {
  std::string text;
  for (const std::string& call : calls()) text += call + "\n";
  calls().clear();
  return text;
}

abi::Status* refusal() {
  static int status;
  return reinterpret_cast<abi::Status*>(&status);
}

/// An object that is never looked into.
template <class T>
T* object() {
  static int memory;
  return reinterpret_cast<T*>(&memory);
}

abi::Status* create_options(abi::CudaProviderOptions** out) {
  *out = object<abi::CudaProviderOptions>();
  return nullptr;
}
abi::Status* update_options(abi::CudaProviderOptions*, const char* const* keys, const char* const* values,
                            size_t count) {
  for (size_t i = 0; i < count; ++i) {
    calls().push_back(std::string(keys[i]) + "=" + values[i]);
    if (std::strcmp(keys[i], "device_id") == 0 && std::strcmp(values[i], "7") == 0) return refusal();
  }
  return nullptr;
}
abi::Status* update_pointer(abi::CudaProviderOptions*, const char* key, void* value) {
  calls().push_back(std::string(key) + (value == &calls() ? "=stream" : "=?"));
  return nullptr;
}
abi::Status* append(abi::SessionOptions* session, const abi::CudaProviderOptions*) {
  calls().push_back(session == object<abi::SessionOptions>() ? "append" : "append to another");
  return nullptr;
}
void release_options(abi::CudaProviderOptions*) {
  calls().push_back("release");
}
abi::Status* create_memory_info(const char* name, int allocator, int device, int memory,
                                abi::MemoryInfo** out) {
  calls().push_back(std::string(name) + " " + std::to_string(allocator) + " " + std::to_string(device) + " " +
                    std::to_string(memory));
  *out = object<abi::MemoryInfo>();
  return nullptr;
}
void release_memory_info(abi::MemoryInfo*) {}
int error_code(const abi::Status*) {
  return 11;
}
const char* error_message(const abi::Status*) {
  return "no device 7";
}
void release_status(abi::Status*) {
  calls().push_back("release status");
}

Api fake_api() {
  static TableEntry table[300] = {};
  const auto set = [](auto function, auto* pointer) {
    using F = decltype(function);
    typename F::Pointer typed = pointer;  // the compiler compares the signatures
    table[F::slot] = reinterpret_cast<TableEntry>(typed);
  };
  set(abi::CreateCudaOptions(), &create_options);
  set(abi::UpdateCudaOptions(), &update_options);
  set(abi::UpdateCudaOptionPointer(), &update_pointer);
  set(abi::AppendCuda(), &append);
  set(abi::ReleaseCudaOptions(), &release_options);
  set(abi::CreateMemoryInfo(), &create_memory_info);
  set(abi::ReleaseMemoryInfo(), &release_memory_info);
  set(abi::GetErrorCode(), &error_code);
  set(abi::GetErrorMessage(), &error_message);
  set(abi::ReleaseStatus(), &release_status);
  return Api(table);
}

SFR_TEST("onnxruntime/cuda options") {
  CudaOptions options;
  append_cuda(fake_api(), object<abi::SessionOptions>(), options);
  expect(joined() ==
             "device_id=0\nuse_tf32=0\nenable_cuda_graph=0\narena_extend_strategy="
             "kSameAsRequested\nappend\nrelease\n",
         "other calls by default");
  options = {3, 5000000000, true, true, &calls()};
  append_cuda(fake_api(), object<abi::SessionOptions>(), options);
  expect(joined() ==
             "device_id=3\nuse_tf32=1\nenable_cuda_graph=1\narena_extend_strategy=kSameAsRequested\n"
             "gpu_mem_limit=5000000000\nuser_compute_stream=stream\nappend\nrelease\n",
         "other calls with all options");
}

SFR_TEST("onnxruntime/a refusal carries code and text, and nothing is left behind") {
  try {
    CudaOptions options;
    options.device = 7;
    append_cuda(fake_api(), object<abi::SessionOptions>(), options);
  } catch (const Refusal& refused) {
    expect(refused.code() == 11 && std::string(refused.what()) == "no device 7", "another refusal");
    expect(joined() == "device_id=7\nrelease status\nrelease\n", "other calls");
    return;
  }
  throw std::runtime_error("expected a refusal");
}

SFR_TEST("onnxruntime/places of memory") {
  make_memory_info(fake_api(), Place::host, 2);
  make_memory_info(fake_api(), Place::pinned, 2);
  make_memory_info(fake_api(), Place::cuda, 2);
  expect(joined() == "Cpu 0 0 0\nCudaPinned 0 2 -1\nCuda 0 2 0\n", "other places");
}

SFR_TEST("onnxruntime/memory that a session must not be given") {
  const BoundTensor host{"x", {}, nullptr, Place::host}, cuda{"y", {}, nullptr, Place::cuda};
  CudaOptions plain, graph;
  graph.graph = true;
  check_place({}, host);
  check_place(plain, host);
  check_place(plain, cuda);
  check_place(graph, cuda);
  expect_error([&] { check_place({}, cuda); }, "expected host memory for 'y'");
  expect_error([&] { check_place(graph, host); }, "expected device memory for 'x'");
}

SFR_TEST("onnxruntime/a library that is none") {
  expect_error([] { Library::open("none.so"); }, "expected none.so to load");
}

}  // namespace

}  // namespace sfr::test
