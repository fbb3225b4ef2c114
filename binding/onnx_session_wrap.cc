#include "onnx_session_wrap.h"

#include <chrono>

#include "convert.h"
#include "promise_worker.h"
#include "tensor_wrap.h"

namespace sfr::binding {

namespace {

/// Tensors that a run uses: their memory, and what keeps it alive.
struct Bound {
  std::vector<ort::BoundTensor> tensors;
  std::vector<TensorPtr> owners;
};

Bound to_bound(const Napi::Value& names, const Napi::Value& tensors) {
  const auto ports =
      to_list<std::string>(names, "names", [](const Napi::Value& e) { return to_string(e, "name"); });
  Bound bound;
  bound.owners = to_list<TensorPtr>(tensors, "tensors",
                                    [](const Napi::Value& e) { return TensorWrap::unwrap(e, "tensor"); });
  if (ports.size() != bound.owners.size()) fail("tensors", "one tensor per name");
  for (size_t i = 0; i < ports.size(); ++i)
    bound.tensors.push_back({ports[i], bound.owners[i]->type(), bound.owners[i]->data()});
  return bound;
}

ort::SessionSettings to_settings(const Napi::Value& value) {
  if (!value.IsObject()) fail("settings", "an object");
  const auto object = value.As<Napi::Object>();
  ort::SessionSettings settings{to_string(object.Get("library"), "library"),
                                to_string(object.Get("model"), "model"),
                                static_cast<int>(to_integer(object.Get("threads"), "threads")),
                                {}};
  if (!object.Has("cuda")) return settings;
  ort::CudaOptions cuda;
  const auto options = object.Get("cuda").As<Napi::Object>();
  cuda.device = static_cast<int>(to_integer(options.Get("device"), "device"));
  if (options.Has("memoryBytes"))
    cuda.memory_bytes = static_cast<uint64_t>(to_integer(options.Get("memoryBytes"), "memoryBytes"));
  if (options.Has("tf32")) cuda.tf32 = options.Get("tf32").ToBoolean();
  settings.cuda = cuda;
  return settings;
}

Napi::Array from_ports(Napi::Env env, const std::vector<ort::Port>& ports) {
  Napi::Array array = Napi::Array::New(env, ports.size());
  for (uint32_t i = 0; i < ports.size(); ++i) {
    Napi::Object port = Napi::Object::New(env);
    Napi::Array shape = Napi::Array::New(env, ports[i].shape.size());
    for (uint32_t axis = 0; axis < ports[i].shape.size(); ++axis)
      shape[axis] = Napi::Number::New(env, static_cast<double>(ports[i].shape[axis]));
    port["name"] = Napi::String::New(env, ports[i].name);
    port["dtype"] = Napi::String::New(env, ports[i].dtype);
    port["shape"] = shape;
    array[i] = port;
  }
  return array;
}

}  // namespace

Napi::Function OnnxSessionWrap::define(Napi::Env env) {
  return DefineClass(
      env, "OnnxSession",
      {InstanceMethod<&OnnxSessionWrap::load>("load"), InstanceMethod<&OnnxSessionWrap::inputs>("inputs"),
       InstanceMethod<&OnnxSessionWrap::outputs>("outputs"), InstanceMethod<&OnnxSessionWrap::run>("run"),
       InstanceMethod<&OnnxSessionWrap::busy_seconds>("busySeconds"),
       InstanceMethod<&OnnxSessionWrap::cancel>("cancel"),
       InstanceMethod<&OnnxSessionWrap::dispose>("dispose")});
}

const std::shared_ptr<OnnxSessionWrap::State>& OnnxSessionWrap::state() const {
  if (!state_)
    throw Error(ErrorCode::disposed, "onnxruntime: expected a live session, received one that was disposed");
  return state_;
}

ort::Session& OnnxSessionWrap::session() const {
  if (!state()->session) fail("session", "a loaded model");
  return *state()->session;
}

const std::shared_ptr<OnnxSessionWrap::State>& OnnxSessionWrap::idle() const {
  if (state()->busy)
    throw Error(ErrorCode::usage,
                "onnxruntime: expected the session to be idle, received a second call; await the first");
  return state_;
}

Napi::Value OnnxSessionWrap::load(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<State> s = idle();
    const ort::SessionSettings settings = to_settings(info[0]);
    const auto made = std::make_shared<std::unique_ptr<ort::Session>>();
    s->busy = true;
    return PromiseWorker::run(
        info.This().As<Napi::Object>(),
        [made, settings] { *made = std::make_unique<ort::Session>(settings); },
        [s, made] {
          s->session = std::move(*made);
          s->busy = false;
        });
  });
}

Napi::Value OnnxSessionWrap::inputs(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return from_ports(info.Env(), session().inputs()); });
}

Napi::Value OnnxSessionWrap::outputs(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return from_ports(info.Env(), session().outputs()); });
}

Napi::Value OnnxSessionWrap::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<State> s = idle();
    ort::Session& live = session();
    const Bound in = to_bound(info[0], info[1]), out = to_bound(info[2], info[3]);
    live.arm();
    s->busy = true;
    return PromiseWorker::run(
        info.This().As<Napi::Object>(),
        [s, in, out] {
          using Clock = std::chrono::steady_clock;
          const Clock::time_point start = Clock::now();
          s->session->run(in.tensors, out.tensors);
          s->busy_seconds = s->busy_seconds + std::chrono::duration<double>(Clock::now() - start).count();
        },
        [s] { s->busy = false; });
  });
}

Napi::Value OnnxSessionWrap::busy_seconds(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::Number::New(info.Env(), state()->busy_seconds); });
}

Napi::Value OnnxSessionWrap::cancel(const Napi::CallbackInfo& info) {
  if (state_ && state_->session) guarded(info.Env(), [&] { state_->session->cancel(); });
  return info.Env().Undefined();
}

Napi::Value OnnxSessionWrap::dispose(const Napi::CallbackInfo& info) {
  cancel(info);
  state_.reset();  // work in flight keeps its own reference
  return info.Env().Undefined();
}

Napi::Value onnx_runtime_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    const ort::Library& library = ort::Library::open(to_string(info[0], "path"));
    Napi::Object result = Napi::Object::New(env);
    const std::vector<std::string> providers = library.providers();
    Napi::Array names = Napi::Array::New(env, providers.size());
    for (uint32_t i = 0; i < providers.size(); ++i) names[i] = Napi::String::New(env, providers[i]);
    result["version"] = Napi::String::New(env, library.version());
    result["providers"] = names;
    if (info[1].IsNumber()) {
      const std::string problem = library.cuda_problem(static_cast<int>(to_integer(info[1], "device")));
      if (!problem.empty()) result["cudaProblem"] = Napi::String::New(env, problem);
    }
    return result;
  });
}

}  // namespace sfr::binding
