#include "tensor_wrap.h"

#include <map>
#include <mutex>

#include "convert.h"
#include "env_data.h"

namespace sfr::binding {

namespace {

/// Tensors that other threads may open, by number; numbers are never used twice.
class SharedTensors {
 public:
  static SharedTensors& instance() {
    // Never destroyed: worker threads may still end while the process does.
    static SharedTensors& all = *std::make_unique<SharedTensors>().release();
    return all;
  }

  int64_t add(const TensorPtr& tensor) {
    const std::lock_guard<std::mutex> lock(mutex_);
    by_number_[++last_] = tensor;
    return last_;
  }

  /// Null when it is not shared any more.
  TensorPtr find(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = by_number_.find(number);
    return found == by_number_.end() ? nullptr : found->second;
  }

  void remove(int64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    by_number_.erase(number);
  }

 private:
  std::mutex mutex_;
  std::map<int64_t, TensorPtr> by_number_;
  int64_t last_ = 0;
};

}  // namespace

Napi::Function TensorWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Tensor",
      {InstanceAccessor<&TensorWrap::dtype>("dtype"), InstanceAccessor<&TensorWrap::shape>("shape"),
       InstanceAccessor<&TensorWrap::device>("device"), InstanceAccessor<&TensorWrap::disposed>("disposed"),
       InstanceMethod<&TensorWrap::data>("data"), InstanceMethod<&TensorWrap::fill_from_file>("fillFromFile"),
       InstanceMethod<&TensorWrap::share>("share"), StaticMethod<&TensorWrap::open>("open"),
       InstanceMethod<&TensorWrap::dispose>("dispose")});
}

Napi::Object TensorWrap::wrap(Napi::Env env, const TensorPtr& tensor) {
  // The constructor adopts the pointer when it is given as an external value.
  auto* holder = new TensorPtr(tensor);  // freed by the finalizer
  return env_data(env).tensor.New({Napi::External<TensorPtr>::New(
      env, holder, [](Napi::Env, TensorPtr* p) { std::unique_ptr<TensorPtr> owner(p); })});
}

TensorWrap::TensorWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<TensorWrap>(info) {
  guarded(info.Env(), [&] {
    if (info[0].IsExternal()) {
      tensor_ = *info[0].As<Napi::External<TensorPtr>>().Data();
    } else {
      tensor_ = std::make_shared<Tensor>(
          TensorType{dtype_from_name(to_string(info[0], "dtype")), to_shape(info[1])});
    }
    type_ = tensor_->type();
  });
}

TensorPtr TensorWrap::unwrap(const Napi::Value& value, const char* name) {
  const Napi::Env env = value.Env();
  if (!value.IsObject() || !value.As<Napi::Object>().InstanceOf(env_data(env).tensor.Value()))
    fail(name, "a Tensor");
  return Napi::ObjectWrap<TensorWrap>::Unwrap(value.As<Napi::Object>())->tensor();
}

const TensorPtr& TensorWrap::tensor() const {
  if (!tensor_)
    throw Error(ErrorCode::disposed, "tensor: expected a live tensor, received one that was disposed");
  return tensor_;
}

Napi::Value TensorWrap::dtype(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), dtype_name(type_.dtype));
}

Napi::Value TensorWrap::shape(const Napi::CallbackInfo& info) {
  return from_shape(info.Env(), type_.shape);
}

/// Where the memory is. This backend's tensors lie in host memory.
Napi::Value TensorWrap::device(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), "cpu");
}

Napi::Value TensorWrap::disposed(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), tensor_ == nullptr);
}

Napi::Value TensorWrap::data(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const TensorPtr& t = tensor();
    if (buffer_.IsEmpty()) {
      auto* holder = new TensorPtr(t);  // keeps the memory for as long as the view lives
      const auto view = Napi::ArrayBuffer::New(
          env, t->data(), type_.bytes(),
          [](Napi::Env, void*, TensorPtr* p) { std::unique_ptr<TensorPtr> owner(p); }, holder);
      buffer_ = Napi::Persistent(view);
    }
    const Napi::ArrayBuffer buffer = buffer_.Value();
    const size_t count = static_cast<size_t>(type_.shape.count());
    switch (type_.dtype) {
      case DType::f32:
        return Napi::Float32Array::New(env, count, buffer, 0);
      case DType::f64:
        return Napi::Float64Array::New(env, count, buffer, 0);
      case DType::i32:
        return Napi::Int32Array::New(env, count, buffer, 0);
      case DType::u8:
        return Napi::Uint8Array::New(env, count, buffer, 0);
      case DType::u16:
      case DType::bf16:  // JavaScript has no such numbers: it sees the bits
        return Napi::Uint16Array::New(env, count, buffer, 0);
    }
    return env.Undefined();
  });
}

Napi::Value TensorWrap::fill_from_file(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    const int64_t offset = to_integer(info[1], "offset");
    if (offset < 0) fail("offset", "an offset >= 0");
    tensor()->fill_from_file(to_string(info[0], "path"), static_cast<uint64_t>(offset));
  });
  return info.Env().Undefined();
}

Napi::Value TensorWrap::share(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const TensorPtr& t = tensor();
    if (shared_as_ == 0) shared_as_ = SharedTensors::instance().add(t);
    return Napi::Number::New(info.Env(), static_cast<double>(shared_as_));
  });
}

Napi::Value TensorWrap::open(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t number = to_integer(info[0], "number");
    const TensorPtr tensor = SharedTensors::instance().find(number);
    if (!tensor)
      throw Error(ErrorCode::disposed, "tensor: expected a shared tensor, received one that was disposed");
    return wrap(info.Env(), tensor);
  });
}

void TensorWrap::end_sharing() {
  if (shared_as_ != 0) SharedTensors::instance().remove(shared_as_);
  shared_as_ = 0;
}

Napi::Value TensorWrap::dispose(const Napi::CallbackInfo& info) {
  if (!buffer_.IsEmpty()) {
    Napi::ArrayBuffer buffer = buffer_.Value();
    if (!buffer.IsDetached()) buffer.Detach();
    buffer_.Reset();
  }
  end_sharing();
  tensor_.reset();
  return info.Env().Undefined();
}

}  // namespace sfr::binding
