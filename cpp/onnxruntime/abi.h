// The part of ONNX Runtime's C interface that is called here, in declarations of our own. Its library exports
// one function that gives a table of function pointers; the order of the table is frozen by each release and
// only grows, so a function is named by its slot. All that is used stands in version 16 and later.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace sfr::ort {

/// A call that the library refused.
class Refusal : public std::runtime_error {
 public:
  Refusal(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

namespace abi {

// Objects of the library; never looked into.
struct Allocator;
struct CudaProviderOptions;
struct Env;
struct IoBinding;
struct MemoryInfo;
struct RunOptions;
struct Session;
struct SessionOptions;
struct Status;
struct TensorInfo;
struct TypeInfo;
struct Value;

inline constexpr uint32_t kVersion = 16;

/// A function of the table: its place and its signature. A status that is not null is a refusal.
template <int kSlot, class Signature>
struct Function {
  static constexpr int slot = kSlot;
  using Pointer = Signature*;
};

using GetErrorCode = Function<1, int(const Status*)>;
using GetErrorMessage = Function<2, const char*(const Status*)>;
using ReleaseStatus = Function<93, void(Status*)>;

using CreateEnv = Function<3, Status*(int severity, const char* name, Env** out)>;
using SetEnvLogLevel = Function<226, Status*(Env*, int severity)>;
using GetAvailableProviders = Function<125, Status*(char*** out, int* count)>;
using ReleaseAvailableProviders = Function<126, Status*(char** names, int count)>;
using GetDefaultAllocator = Function<78, Status*(Allocator** out)>;
using AllocatorFree = Function<76, Status*(Allocator*, void*)>;

using CreateSessionOptions = Function<10, Status*(SessionOptions** out)>;
using ReleaseSessionOptions = Function<100, void(SessionOptions*)>;
using SetLogSeverity = Function<22, Status*(SessionOptions*, int severity)>;
using SetThreads = Function<24, Status*(SessionOptions*, int threads)>;
using AddConfigEntry = Function<130, Status*(SessionOptions*, const char* key, const char* value)>;

using CreateCudaOptions = Function<205, Status*(CudaProviderOptions** out)>;
using UpdateCudaOptions = Function<206, Status*(CudaProviderOptions*, const char* const* keys,
                                                const char* const* values, size_t count)>;
using UpdateCudaOptionPointer = Function<263, Status*(CudaProviderOptions*, const char* key, void* value)>;
using AppendCuda = Function<204, Status*(SessionOptions*, const CudaProviderOptions*)>;
using ReleaseCudaOptions = Function<208, void(CudaProviderOptions*)>;

using CreateSession =
    Function<7, Status*(const Env*, const char* path, const SessionOptions*, Session** out)>;
using ReleaseSession = Function<95, void(Session*)>;
using GetInputCount = Function<30, Status*(const Session*, size_t* out)>;
using GetOutputCount = Function<31, Status*(const Session*, size_t* out)>;
using GetInputType = Function<33, Status*(const Session*, size_t index, TypeInfo** out)>;
using GetOutputType = Function<34, Status*(const Session*, size_t index, TypeInfo** out)>;
using GetInputName = Function<36, Status*(const Session*, size_t index, Allocator*, char** out)>;
using GetOutputName = Function<37, Status*(const Session*, size_t index, Allocator*, char** out)>;
using ReleaseTypeInfo = Function<98, void(TypeInfo*)>;
/// The result is borrowed; null when the value is no tensor.
using AsTensorInfo = Function<55, Status*(const TypeInfo*, const TensorInfo** out)>;
using GetElementType = Function<60, Status*(const TensorInfo*, int* out)>;
using GetRank = Function<61, Status*(const TensorInfo*, size_t* out)>;
using GetExtents = Function<62, Status*(const TensorInfo*, int64_t* extents, size_t rank)>;

using CreateMemoryInfo = Function<68, Status*(const char* name, int allocator_type, int device,
                                              int memory_type, MemoryInfo** out)>;
using ReleaseMemoryInfo = Function<94, void(MemoryInfo*)>;
using CreateTensorWithData = Function<49, Status*(const MemoryInfo*, void* data, size_t bytes,
                                                  const int64_t* shape, size_t rank, int type, Value** out)>;
using GetTensorData = Function<51, Status*(Value*, void** out)>;
using ReleaseValue = Function<96, void(Value*)>;

using CreateBinding = Function<134, Status*(Session*, IoBinding** out)>;
using ReleaseBinding = Function<135, void(IoBinding*)>;
using BindInput = Function<136, Status*(IoBinding*, const char* name, const Value*)>;
using BindOutput = Function<137, Status*(IoBinding*, const char* name, const Value*)>;
/// The array is the caller's to free, each value the caller's to release.
using GetBoundOutputs = Function<140, Status*(const IoBinding*, Allocator*, Value*** out, size_t* count)>;
using RunWithBinding = Function<133, Status*(Session*, const RunOptions*, const IoBinding*)>;

using CreateRunOptions = Function<39, Status*(RunOptions** out)>;
using ReleaseRunOptions = Function<97, void(RunOptions*)>;
using SetTerminate = Function<46, Status*(RunOptions*)>;
using UnsetTerminate = Function<47, Status*(RunOptions*)>;

}  // namespace abi

using TableEntry = void (*)();

template <class Release>
struct Releaser;

/// An object of the library, released by its own function.
template <class T, class Release>
using Owned = std::unique_ptr<T, Releaser<Release>>;

/// The library's table of functions.
class Api {
 public:
  explicit Api(const TableEntry* table) : table_(table) {}

  template <class F>
  typename F::Pointer function() const {
    return reinterpret_cast<typename F::Pointer>(table_[F::slot]);
  }

  /// Calls a function that returns a status. Throws Refusal with the library's code and text.
  template <class F, class... Arguments>
  void call(Arguments... arguments) const {
    check(function<F>()(arguments...));
  }

  /// Calls a function whose last argument takes the object it makes. Throws Refusal.
  template <class T, class Create, class Release, class... Arguments>
  Owned<T, Release> create(Arguments... arguments) const {
    T* made = nullptr;
    call<Create>(arguments..., &made);
    return Owned<T, Release>(made, {*this});
  }

 private:
  void check(abi::Status* status) const {
    if (status == nullptr) return;
    const Refusal refusal(function<abi::GetErrorCode>()(status), function<abi::GetErrorMessage>()(status));
    function<abi::ReleaseStatus>()(status);
    throw refusal;
  }

  const TableEntry* table_;
};

template <class Release>
struct Releaser {
  Api api{nullptr};
  template <class T>
  void operator()(T* object) const {
    api.template function<Release>()(object);
  }
};

}  // namespace sfr::ort
