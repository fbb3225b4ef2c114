#pragma once
#include <napi.h>

#include "core/tensor.h"

namespace sfr::binding {

/// `new Tensor(dtype, shape)`: a zero-filled typed tensor handle. Properties dtype, shape, device, disposed;
/// methods data() (typed array on the tensor's own memory, until dispose), fillFromFile(path, offset),
/// share() (a number by which Tensor.open makes a handle on the same memory in another thread, until
/// dispose), dispose().
class TensorWrap : public Napi::ObjectWrap<TensorWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Object wrap(Napi::Env env, const TensorPtr& tensor);
  /// The tensor of a JavaScript handle. Throws Error(usage) on other values, Error(disposed) after dispose.
  static TensorPtr unwrap(const Napi::Value& value, const char* name);

  explicit TensorWrap(const Napi::CallbackInfo& info);
  ~TensorWrap() override { end_sharing(); }

 private:
  Napi::Value dtype(const Napi::CallbackInfo& info);
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value device(const Napi::CallbackInfo& info);
  Napi::Value disposed(const Napi::CallbackInfo& info);
  Napi::Value data(const Napi::CallbackInfo& info);
  Napi::Value fill_from_file(const Napi::CallbackInfo& info);
  Napi::Value share(const Napi::CallbackInfo& info);
  static Napi::Value open(const Napi::CallbackInfo& info);
  void end_sharing();
  Napi::Value dispose(const Napi::CallbackInfo& info);
  const TensorPtr& tensor() const;

  TensorPtr tensor_;
  TensorType type_;
  int64_t shared_as_ = 0;                      // 0: not shared
  Napi::Reference<Napi::ArrayBuffer> buffer_;  // the one view, detached by dispose
};

}  // namespace sfr::binding
