// ONNX Runtime's library, loaded when it is first asked for. Nothing links to it.
#pragma once
#include <string>
#include <vector>

#include "onnxruntime/abi.h"

namespace sfr::ort {

/// Keeps ONNX Runtime from reporting to its maker, which it does by default from version 1.29 on: it looks at
/// the process's environment when its first environment is made. Call before any code of this process can
/// make one.
void disable_telemetry();

class Library {
 public:
  /// Loads `path`, once per process: a library is never unloaded. Throws Error(device) when it does not load,
  /// is not ONNX Runtime or is older than 1.16.
  static const Library& open(const std::string& path);

  const Api& api() const { return api_; }
  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }

  /// Execution providers that the library was built with; whether their files load is another matter.
  std::vector<std::string> providers() const;

  /// Why CUDA device `device` cannot be had, in the library's words; empty when it can.
  std::string cuda_problem(int device) const;

  /// The process's environment of ONNX Runtime, made by whoever asks first; it logs nothing: refusals carry
  /// text.
  abi::Env* environment() const;

  explicit Library(const std::string& path);

 private:
  std::string path_, version_;
  Api api_{nullptr};
};

}  // namespace sfr::ort
