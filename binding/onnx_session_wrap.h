#pragma once
#include <napi.h>

#include <atomic>
#include <memory>

#include "onnxruntime/session.h"

namespace sfr::binding {

/// `new OnnxSession()`: a network in ONNX Runtime, called through its C interface. load(settings) gives a
/// promise; inputs() and outputs() list what the file declares; run(names, tensors, names, tensors) reads and
/// writes the tensors' own memory and gives a promise; busySeconds() is how long runs took on the session's
/// thread; cancel() stops a run; dispose() ends the session after it.
class OnnxSessionWrap : public Napi::ObjectWrap<OnnxSessionWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit OnnxSessionWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<OnnxSessionWrap>(info) {}

 private:
  struct State {
    // Changed by the JavaScript thread only.
    std::unique_ptr<ort::Session> session;
    bool busy = false;
    // Changed by the thread of the run, of which there is one at a time.
    std::atomic<double> busy_seconds{0};
  };
  const std::shared_ptr<State>& state() const;
  ort::Session& session() const;
  const std::shared_ptr<State>& idle() const;
  Napi::Value load(const Napi::CallbackInfo& info);
  Napi::Value inputs(const Napi::CallbackInfo& info);
  Napi::Value outputs(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value busy_seconds(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// onnxRuntimeInfo(path, cudaDevice?): { version, providers, cudaProblem? } of a library of ONNX Runtime.
Napi::Value onnx_runtime_info(const Napi::CallbackInfo& info);

}  // namespace sfr::binding
