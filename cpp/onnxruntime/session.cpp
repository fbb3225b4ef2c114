#include "onnxruntime/session.h"

#include "core/error.h"

namespace sfr::ort {

namespace {

constexpr int kFatalOnly = 4;
constexpr int kEngineError = 5, kProviderFailed = 11, kDeviceReset = 15;
constexpr int kDeviceAllocator = 0;
constexpr int kDefaultMemory = 0, kMemoryForCpuOutput = -1;

struct ElementType {
  DType dtype;
  int number;  // ONNX's
};
constexpr ElementType kElementTypes[] = {{DType::f32, 1}, {DType::u8, 2},   {DType::u16, 4},
                                         {DType::i32, 6}, {DType::f64, 11}, {DType::bf16, 16}};
static_assert(sizeof(kElementTypes) / sizeof(kElementTypes[0]) == kDTypeCount);

int element_number(DType dtype) {
  for (const ElementType& type : kElementTypes)
    if (type.dtype == dtype) return type.number;
  throw Error(ErrorCode::internal,
              std::string("onnxruntime: expected an element type, received ") + dtype_name(dtype));
}

std::string element_name(int number) {
  for (const ElementType& type : kElementTypes)
    if (type.number == number) return dtype_name(type.dtype);
  return "ONNX type " + std::to_string(number);
}

/// The first line: what follows it is a stack of the library's.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

bool is_about_memory(const std::string& text) {
  return text.find("bad_alloc") != std::string::npos ||
         text.find("Failed to allocate") != std::string::npos ||
         text.find("out of memory") != std::string::npos;
}

Error error_of(const std::string& where, const Refusal& refusal) {
  const std::string text = refusal.what();
  const bool is_device =
      refusal.code() == kEngineError || refusal.code() == kProviderFailed || refusal.code() == kDeviceReset;
  if (is_device || is_about_memory(text))
    return Error(ErrorCode::device, where +
                                        ": expected the device to have what the network needs, received \"" +
                                        first_line(text) + "\"; use a smaller patch, or --device cpu");
  return Error(ErrorCode::data, where + ": expected a network that ONNX Runtime can run, received \"" +
                                    first_line(text) + "\"; export it again");
}

}  // namespace

Owned<abi::MemoryInfo, abi::ReleaseMemoryInfo> make_memory_info(const Api& api, Place place, int device) {
  const char* name = place == Place::host ? "Cpu" : place == Place::pinned ? "CudaPinned" : "Cuda";
  const int memory = place == Place::pinned ? kMemoryForCpuOutput : kDefaultMemory;
  return api.create<abi::MemoryInfo, abi::CreateMemoryInfo, abi::ReleaseMemoryInfo>(
      name, kDeviceAllocator, place == Place::host ? 0 : device, memory);
}

void check_place(const std::optional<CudaOptions>& cuda, const BoundTensor& tensor) {
  // The library does not check this for outputs: it would write through the pointer.
  if (tensor.place != Place::host && !cuda)
    throw Error(ErrorCode::usage, "onnxruntime: expected host memory for '" + tensor.name +
                                      "' of a session on the CPU, received memory of a device");
  // The graph would go on reading the copy of the first runs.
  if (tensor.place != Place::cuda && cuda && cuda->graph)
    throw Error(ErrorCode::usage, "onnxruntime: expected device memory for '" + tensor.name +
                                      "' of a session with a captured graph, received memory of the host");
}

Session::Session(const SessionSettings& settings)
    : settings_(settings), library_(Library::open(settings.library)), api_(library_.api()) {
  thread_.run([this] {
    try {
      load();
    } catch (const Refusal& refusal) {
      throw error_of(settings_.model, refusal);
    }
  });
}

Session::~Session() {
  thread_.run([this] { model_.reset(); });
}

void Session::load() {
  abi::Env* env = library_.environment();
  const auto options =
      api_.create<abi::SessionOptions, abi::CreateSessionOptions, abi::ReleaseSessionOptions>();
  api_.call<abi::SetLogSeverity>(options.get(), kFatalOnly);
  api_.call<abi::SetThreads>(options.get(), settings_.threads);
  // Its idle threads would take the cores from ours, which run between two runs of a network.
  api_.call<abi::AddConfigEntry>(options.get(), "session.intra_op.allow_spinning", "0");
  if (settings_.cuda) {
    try {
      append_cuda(api_, options.get(), *settings_.cuda);
    } catch (const Refusal& refusal) {
      throw Error(ErrorCode::device, "onnxruntime: expected CUDA device " +
                                         std::to_string(settings_.cuda->device) + ", received \"" +
                                         first_line(refusal.what()) + "\"; see `sfr doctor`");
    }
  }
  run_options_ = api_.create<abi::RunOptions, abi::CreateRunOptions, abi::ReleaseRunOptions>();
  model_ = api_.create<abi::Session, abi::CreateSession, abi::ReleaseSession>(
      static_cast<const abi::Env*>(env), settings_.model.c_str(),
      static_cast<const abi::SessionOptions*>(options.get()));
  inputs_ = ports(true);
  outputs_ = ports(false);
}

std::vector<Port> Session::ports(bool inputs) const {
  const auto pick = [&](auto input, auto output, auto... arguments) {
    if (inputs)
      api_.call<decltype(input)>(arguments...);
    else
      api_.call<decltype(output)>(arguments...);
  };
  const abi::Session* model = model_.get();
  abi::Allocator* allocator = nullptr;
  api_.call<abi::GetDefaultAllocator>(&allocator);
  size_t count = 0;
  pick(abi::GetInputCount(), abi::GetOutputCount(), model, &count);
  std::vector<Port> result(count);
  for (size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    pick(abi::GetInputName(), abi::GetOutputName(), model, i, allocator, &name);
    result[i].name = name;
    api_.call<abi::AllocatorFree>(allocator, static_cast<void*>(name));
    abi::TypeInfo* made = nullptr;
    pick(abi::GetInputType(), abi::GetOutputType(), model, i, &made);
    const Owned<abi::TypeInfo, abi::ReleaseTypeInfo> type(made, {api_});
    const abi::TensorInfo* tensor = nullptr;
    api_.call<abi::AsTensorInfo>(static_cast<const abi::TypeInfo*>(made), &tensor);
    if (tensor == nullptr) {
      result[i].dtype = "no tensor";
      continue;
    }
    int element = 0;
    size_t rank = 0;
    api_.call<abi::GetElementType>(tensor, &element);
    api_.call<abi::GetRank>(tensor, &rank);
    result[i].dtype = element_name(element);
    result[i].shape.resize(rank);
    api_.call<abi::GetExtents>(tensor, result[i].shape.data(), rank);
  }
  return result;
}

void Session::arm() {
  api_.call<abi::UnsetTerminate>(run_options_.get());
}

void Session::cancel() {
  api_.call<abi::SetTerminate>(run_options_.get());
}

void Session::run(const std::vector<BoundTensor>& inputs, const std::vector<BoundTensor>& outputs) {
  for (const auto* list : {&inputs, &outputs})
    for (const BoundTensor& tensor : *list) check_place(settings_.cuda, tensor);
  thread_.run([&] {
    try {
      bind_and_run(inputs, outputs);
    } catch (const Refusal& refusal) {
      if (std::string(refusal.what()).find("terminate flag") != std::string::npos)
        throw Error(ErrorCode::cancelled, settings_.model + ": expected to end, received a stop");
      throw error_of(settings_.model, refusal);
    }
  });
}

Session::ValueHandle Session::value_of(const BoundTensor& tensor) const {
  const auto memory = make_memory_info(api_, tensor.place, settings_.cuda ? settings_.cuda->device : 0);
  std::vector<int64_t> shape;
  for (int i = 0; i < tensor.type.shape.rank(); ++i) shape.push_back(tensor.type.shape[i]);
  return api_.create<abi::Value, abi::CreateTensorWithData, abi::ReleaseValue>(
      static_cast<const abi::MemoryInfo*>(memory.get()), tensor.data, tensor.type.bytes(),
      static_cast<const int64_t*>(shape.data()), shape.size(), element_number(tensor.type.dtype));
}

void Session::bind_and_run(const std::vector<BoundTensor>& inputs,
                           const std::vector<BoundTensor>& outputs) const {
  // A new binding each time: it costs less than a microsecond, and one that has refused a value is spoilt.
  const auto binding = api_.create<abi::IoBinding, abi::CreateBinding, abi::ReleaseBinding>(model_.get());
  for (const BoundTensor& tensor : inputs)
    api_.call<abi::BindInput>(binding.get(), tensor.name.c_str(),
                              static_cast<const abi::Value*>(value_of(tensor).get()));
  for (const BoundTensor& tensor : outputs)
    api_.call<abi::BindOutput>(binding.get(), tensor.name.c_str(),
                               static_cast<const abi::Value*>(value_of(tensor).get()));
  api_.call<abi::RunWithBinding>(model_.get(), static_cast<const abi::RunOptions*>(run_options_.get()),
                                 static_cast<const abi::IoBinding*>(binding.get()));
  check_written_in_place(binding, outputs);
}

/// Values that the library had put elsewhere would be lost.
void Session::check_written_in_place(const BindingHandle& binding,
                                     const std::vector<BoundTensor>& outputs) const {
  abi::Allocator* allocator = nullptr;
  api_.call<abi::GetDefaultAllocator>(&allocator);
  abi::Value** bound = nullptr;
  size_t count = 0;
  api_.call<abi::GetBoundOutputs>(static_cast<const abi::IoBinding*>(binding.get()), allocator, &bound,
                                  &count);
  bool in_place = count == outputs.size();
  for (size_t i = 0; i < count; ++i) {
    const ValueHandle value(bound[i], {api_});
    void* data = nullptr;
    api_.call<abi::GetTensorData>(value.get(), &data);
    in_place = in_place && data == outputs[i].data;
  }
  if (bound != nullptr) api_.call<abi::AllocatorFree>(allocator, static_cast<void*>(bound));
  if (!in_place)
    throw Error(
        ErrorCode::internal,
        settings_.model + ": expected the outputs in the memory that was bound, received other memory");
}

}  // namespace sfr::ort
