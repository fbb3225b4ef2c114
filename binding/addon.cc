// Export table of the addon: four classes and three functions. Data crosses the border, never callbacks.
#include <napi.h>

#include "convert.h"
#include "env_data.h"
#include "graph/engine.h"
#include "graph_wrap.h"
#include "math/levels.h"
#include "onnx_session_wrap.h"
#include "tensor_wrap.h"

namespace sfr::binding {

namespace {

/// engineInfo(): { threads, simd, bestSimd, bf16, compiler, device, memoryBytes, arenaBytes, busySeconds,
///                 ops: { name: [attribute names] } }
Napi::Value engine_info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&] {
    Napi::Object result = Napi::Object::New(env), ops = Napi::Object::New(env);
    for (const auto& entry : OpRegistry::instance().all()) {
      const std::vector<std::string> names = entry.second.names();
      Napi::Array list = Napi::Array::New(env, names.size());
      for (uint32_t i = 0; i < names.size(); ++i) list[i] = Napi::String::New(env, names[i]);
      ops[entry.first] = list;
    }
    result["threads"] = Napi::Number::New(env, Engine::instance().threads());
    result["simd"] = Napi::String::New(env, simd_level_name(simd_level()));
    result["bestSimd"] = Napi::String::New(env, simd_level_name(best_simd_level()));
    result["bf16"] = Napi::String::New(env, simd_level() == SimdLevel::v4_bf16 ? "native" : "rounded");
    result["compiler"] = Napi::String::New(env, SFR_COMPILER);
    const auto device = Engine::instance().device();
    result["device"] = Napi::String::New(env, device ? device->name() : "cpu");
    result["memoryBytes"] = Napi::Number::New(env, static_cast<double>(Engine::instance().memory_limit()));
    result["arenaBytes"] = Napi::Number::New(env, static_cast<double>(Engine::instance().arena_bytes()));
    result["busySeconds"] = Napi::Number::New(env, Engine::instance().busy_seconds());
    result["ops"] = ops;
    return result;
  });
}

/// The device of { library, ordinal, memoryBytes }; null for null.
std::shared_ptr<Device> to_device(const Napi::Value& v) {
  if (v.IsNull()) return nullptr;
  if (!v.IsObject()) fail("cuda", "an object or null");
  const auto cuda = v.As<Napi::Object>();
  return Device::load(to_string(cuda.Get("library"), "library"),
                      static_cast<int>(to_integer(cuda.Get("ordinal"), "ordinal")),
                      static_cast<size_t>(to_integer(cuda.Get("memoryBytes"), "memoryBytes")));
}

/// configureEngine({ threads?, simd?, memoryBytes?, cuda? }): for the whole process.
Napi::Value configure_engine(const Napi::CallbackInfo& info) {
  guarded(info.Env(), [&] {
    if (!info[0].IsObject()) fail("options", "an object");
    const auto options = info[0].As<Napi::Object>();
    if (options.Has("threads"))
      Engine::instance().set_threads(static_cast<int>(to_integer(options.Get("threads"), "threads")));
    if (options.Has("memoryBytes"))
      Engine::instance().set_memory_limit(
          static_cast<size_t>(to_integer(options.Get("memoryBytes"), "memoryBytes")));
    if (options.Has("cuda")) Engine::instance().set_device(to_device(options.Get("cuda")));
    if (!options.Has("simd")) return;
    const std::string name = to_string(options.Get("simd"), "simd");
    for (const SimdLevel level : kSimdLevels)
      if (name == simd_level_name(level) && set_simd_level(level)) return;
    throw Error(ErrorCode::device, "engine: expected a SIMD level that this CPU has (best: " +
                                       std::string(simd_level_name(best_simd_level())) + "), received " +
                                       name);
  });
  return info.Env().Undefined();
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  // Here, since a worker thread may make ONNX Runtime's environment without us; a thread's own copy of the
  // environment variables would not reach it.
  ort::disable_telemetry();
  auto data = std::make_unique<EnvData>();
  const auto add = [&](const char* name, Napi::FunctionReference& slot, const Napi::Function& constructor) {
    slot = Napi::Persistent(constructor);
    exports.Set(name, constructor);
  };
  add("Tensor", data->tensor, TensorWrap::define(env));
  add("Graph", data->graph, GraphWrap::define(env));
  add("Program", data->program, ProgramWrap::define(env));
  exports.Set("OnnxSession", OnnxSessionWrap::define(env));
  exports.Set("onnxRuntimeInfo", Napi::Function::New(env, &onnx_runtime_info));
  exports.Set("engineInfo", Napi::Function::New(env, &engine_info));
  exports.Set("configureEngine", Napi::Function::New(env, &configure_engine));
  env.SetInstanceData(data.release());  // the environment deletes it
  return exports;
}

}  // namespace

}  // namespace sfr::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return sfr::binding::init(env, exports);
}
NODE_API_MODULE(sfr, init_addon)
