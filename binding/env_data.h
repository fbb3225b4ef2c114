// Data of one JavaScript environment (the main thread or a worker): constructors of the wrapped classes.
// Process-wide state lives in sfr::Engine.
#pragma once
#include <napi.h>

namespace sfr::binding {

struct EnvData {
  Napi::FunctionReference tensor, graph, program;
};

inline EnvData& env_data(Napi::Env env) {
  return *env.GetInstanceData<EnvData>();
}

}  // namespace sfr::binding
