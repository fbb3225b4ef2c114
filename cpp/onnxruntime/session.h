// A network in ONNX Runtime. It is loaded, run and released on a thread of its own: captured CUDA graphs
// belong to the thread that runs them.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/task_thread.h"
#include "core/tensor.h"
#include "onnxruntime/cuda_options.h"
#include "onnxruntime/library.h"

namespace sfr::ort {

struct SessionSettings {
  std::string library;  // path of ONNX Runtime's library
  std::string model;    // path of the ONNX file
  int threads = 1;
  std::optional<CudaOptions> cuda;  // absent: everything runs on the CPU
};

/// An input or output as the file declares it.
struct Port {
  std::string name;
  std::string dtype;           // ours where there is one, such as "f32"; else ONNX's number
  std::vector<int64_t> shape;  // -1: any extent
};

/// Where bound memory lies. Pinned memory is the host's, but known to the CUDA driver.
enum class Place { host, pinned, cuda };

/// Memory that a run reads or writes in place: neither copied nor owned, so it must outlive the run.
struct BoundTensor {
  std::string name;
  TensorType type;
  void* data;
  Place place = Place::host;
};

class Session {
 public:
  /// Loads a model. Throws Error(data) when the file is no valid model, Error(device) when library or device
  /// cannot be had.
  explicit Session(const SessionSettings& settings);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::vector<Port>& inputs() const { return inputs_; }
  const std::vector<Port>& outputs() const { return outputs_; }

  /// Makes ready for a run: forgets an earlier cancel().
  void arm();

  /// Runs the network on bound memory, on the session's thread; returns when it has ended. Throws Error(data)
  /// when the network refuses its inputs or fails, Error(device) for memory, Error(cancelled) after cancel(),
  /// Error(usage) for device memory that the session cannot reach.
  void run(const std::vector<BoundTensor>& inputs, const std::vector<BoundTensor>& outputs);

  /// Stops the run in flight after the node it is at. May be called from any thread.
  void cancel();

 private:
  using ModelHandle = Owned<abi::Session, abi::ReleaseSession>;
  using ValueHandle = Owned<abi::Value, abi::ReleaseValue>;
  using BindingHandle = Owned<abi::IoBinding, abi::ReleaseBinding>;
  void load();
  std::vector<Port> ports(bool inputs) const;
  ValueHandle value_of(const BoundTensor& tensor) const;
  void bind_and_run(const std::vector<BoundTensor>& inputs, const std::vector<BoundTensor>& outputs) const;
  void check_written_in_place(const BindingHandle& binding, const std::vector<BoundTensor>& outputs) const;

  const SessionSettings settings_;
  const Library& library_;
  const Api& api_;
  Owned<abi::RunOptions, abi::ReleaseRunOptions> run_options_;
  ModelHandle model_;
  std::vector<Port> inputs_, outputs_;
  TaskThread thread_;
};

/// Describes memory to the library. Throws Refusal.
Owned<abi::MemoryInfo, abi::ReleaseMemoryInfo> make_memory_info(const Api& api, Place place, int device);

/// Throws Error(usage) for memory that a session with these options (on the CPU without) must not be given.
void check_place(const std::optional<CudaOptions>& cuda, const BoundTensor& tensor);

}  // namespace sfr::ort
