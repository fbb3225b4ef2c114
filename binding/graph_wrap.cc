#include "graph_wrap.h"

#include "convert.h"
#include "env_data.h"
#include "graph/engine.h"
#include "promise_worker.h"
#include "tensor_wrap.h"

namespace sfr::binding {

Napi::Function GraphWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Graph",
      {InstanceMethod<&GraphWrap::add_input>("addInput"),
       InstanceMethod<&GraphWrap::add_persistent>("addPersistent"),
       InstanceMethod<&GraphWrap::add_node>("addNode"), InstanceMethod<&GraphWrap::gradients>("gradients"),
       InstanceMethod<&GraphWrap::type>("type"), InstanceMethod<&GraphWrap::compile>("compile")});
}

Napi::Value GraphWrap::add_input(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const TensorType type{dtype_from_name(to_string(info[1], "dtype")), to_shape(info[2])};
    return Napi::Number::New(info.Env(), graph_.add_input(to_string(info[0], "name"), type));
  });
}

Napi::Value GraphWrap::add_persistent(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return Napi::Number::New(
        info.Env(), graph_.add_persistent(TensorWrap::unwrap(info[0], "tensor"), to_string(info[1], "name")));
  });
}

Napi::Value GraphWrap::add_node(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return from_ids(info.Env(), graph_.add_node(to_string(info[0], "op"), to_ids(info[1], "inputs"),
                                                to_attributes(info[2]), to_string(info[3], "name")));
  });
}

Napi::Value GraphWrap::gradients(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    return from_ids(info.Env(), graph_.add_gradients(static_cast<ValueId>(to_integer(info[0], "loss")),
                                                     to_ids(info[1], "values")));
  });
}

Napi::Value GraphWrap::type(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const TensorType& type = graph_.type(static_cast<ValueId>(to_integer(info[0], "value")));
    Napi::Object result = Napi::Object::New(info.Env());
    result["dtype"] = Napi::String::New(info.Env(), dtype_name(type.dtype));
    result["shape"] = from_shape(info.Env(), type.shape);
    return result;
  });
}

Napi::Value GraphWrap::compile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    CompileOptions options;
    if (info[1].IsObject()) {
      const auto given = info[1].As<Napi::Object>();
      if (given.Has("fuse")) options.fuse = given.Get("fuse").ToBoolean();
      if (given.Has("keepBf16")) options.keep_bf16 = given.Get("keepBf16").ToBoolean();
      if (given.Has("bf16Activations")) options.bf16_activations = given.Get("bf16Activations").ToBoolean();
      if (given.Has("onDevice") && given.Get("onDevice").ToBoolean())
        options.device = Engine::instance().device();
      if (given.Has("guards")) options.guards = given.Get("guards").ToBoolean();
    }
    auto program = std::make_unique<Program>(graph_, to_ids(info[0], "outputs"), options);
    return env_data(env).program.New({Napi::External<std::unique_ptr<Program>>::New(env, &program)});
  });
}

Napi::Function ProgramWrap::define(Napi::Env env) {
  return DefineClass(
      env, "Program",
      {InstanceMethod<&ProgramWrap::run>("run"), InstanceMethod<&ProgramWrap::cancel>("cancel"),
       InstanceMethod<&ProgramWrap::outputs>("outputs"), InstanceMethod<&ProgramWrap::explain>("explain"),
       InstanceMethod<&ProgramWrap::dispose>("dispose")});
}

ProgramWrap::ProgramWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramWrap>(info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsExternal()) fail("program", "a compiled graph; use Graph.compile()");
    state_ = std::make_shared<State>();
    state_->program = std::move(*info[0].As<Napi::External<std::unique_ptr<Program>>>().Data());
  });
}

const std::shared_ptr<ProgramWrap::State>& ProgramWrap::state() const {
  if (!state_)
    throw Error(ErrorCode::disposed, "program: expected a live program, received one that was disposed");
  return state_;
}

Napi::Value ProgramWrap::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<State> s = state();
    if (s->running)
      throw Error(ErrorCode::usage,
                  "run: expected the program to be idle, received a second run; await the first");
    const std::vector<ValueId> ids = to_ids(info[0], "inputs");
    const auto tensors = to_list<TensorPtr>(
        info[1], "tensors", [](const Napi::Value& e) { return TensorWrap::unwrap(e, "input"); });
    if (ids.size() != tensors.size()) fail("tensors", "one tensor per input");
    std::map<ValueId, TensorPtr> inputs;
    for (size_t i = 0; i < ids.size(); ++i) inputs[ids[i]] = tensors[i];
    s->cancel = false;
    s->running = true;
    return PromiseWorker::run(
        info.This().As<Napi::Object>(), [s, inputs] { s->program->run(inputs, s->cancel); },
        [s] { s->running = false; });
  });
}

Napi::Value ProgramWrap::cancel(const Napi::CallbackInfo& info) {
  if (state_) state_->cancel = true;
  return info.Env().Undefined();
}

Napi::Value ProgramWrap::outputs(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const std::vector<TensorPtr>& tensors = state()->program->outputs();
    Napi::Array array = Napi::Array::New(info.Env(), tensors.size());
    for (uint32_t i = 0; i < tensors.size(); ++i) array[i] = TensorWrap::wrap(info.Env(), tensors[i]);
    return array;
  });
}

Napi::Value ProgramWrap::explain(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return Napi::String::New(info.Env(), state()->program->explain()); });
}

Napi::Value ProgramWrap::dispose(const Napi::CallbackInfo& info) {
  if (state_) state_->cancel = true;
  state_.reset();  // a run in flight keeps its own reference
  return info.Env().Undefined();
}

}  // namespace sfr::binding
