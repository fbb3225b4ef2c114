#include "onnxruntime/library.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "core/error.h"
#include "onnxruntime/cuda_options.h"

namespace sfr::ort {

namespace {

constexpr int kFatalOnly = 4;

/// What the one exported function gives: two functions.
struct ApiBase {
  const TableEntry* (*table)(uint32_t version);
  const char* (*version)();
};

[[noreturn]] void refuse(const std::string& expected, const std::string& received) {
  throw Error(ErrorCode::device, "onnxruntime: expected " + expected + ", received " + received +
                                     "; install onnxruntime-node 1.30 or name another library");
}

}  // namespace

void disable_telemetry() {
  static std::once_flag once;
  std::call_once(once, [] { setenv("ORT_DISABLE_TELEMETRY", "1", 1); });
}

const Library& Library::open(const std::string& path) {
  // Never destroyed: threads of sessions may still run while the process ends.
  static auto& mutex = *std::make_unique<std::mutex>().release();
  static auto& libraries = *std::make_unique<std::map<std::string, std::unique_ptr<Library>>>().release();
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Library>& library = libraries[path];
  if (!library) library = std::make_unique<Library>(path);
  return *library;
}

Library::Library(const std::string& path) : path_(path) {
  disable_telemetry();
  // A bare name would be searched for in folders that nobody named.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) refuse(path + " to load", std::string("\"") + dlerror() + "\"");
  const auto get_base = reinterpret_cast<const ApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) refuse("a library of ONNX Runtime at " + path, "another one");
  const ApiBase* base = get_base();
  version_ = base->version();
  int minor = 0;
  const bool parsed = std::sscanf(version_.c_str(), "1.%d", &minor) == 1;
  if (!parsed || minor < static_cast<int>(abi::kVersion))
    refuse("ONNX Runtime 1.16 or newer at " + path, version_);
  const TableEntry* table = base->table(abi::kVersion);
  if (table == nullptr) refuse("a library that offers interface version 16 at " + path, "one that does not");
  api_ = Api(table);
}

std::vector<std::string> Library::providers() const {
  char** names = nullptr;
  int count = 0;
  api_.call<abi::GetAvailableProviders>(&names, &count);
  const std::vector<std::string> result(names, names + count);
  api_.call<abi::ReleaseAvailableProviders>(names, count);
  return result;
}

std::string Library::cuda_problem(int device) const {
  try {
    // Without one the library cannot say what is wrong: it wants to log it.
    environment();
    // Setting the device loads the provider and the libraries it needs, and counts the devices.
    CudaOptions options;
    options.device = device;
    make_cuda_options(api_, options);
    return "";
  } catch (const Refusal& refusal) {
    return refusal.what();
  }
}

abi::Env* Library::environment() const {
  disable_telemetry();
  // Never released: the process has one, shared with others that use the library.
  abi::Env* env = nullptr;
  api_.call<abi::CreateEnv>(kFatalOnly, "sfr", &env);
  // Someone else may have made it with another level.
  api_.call<abi::SetEnvLogLevel>(env, kFatalOnly);
  return env;
}

}  // namespace sfr::ort
