#pragma once
#include <napi.h>

#include <atomic>
#include <memory>

#include "graph/program.h"

namespace sfr::binding {

/// `new Graph()`: a graph under construction. Values are integer ids; -1 stands for an absent optional input.
class GraphWrap : public Napi::ObjectWrap<GraphWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GraphWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GraphWrap>(info) {}

 private:
  Napi::Value add_input(const Napi::CallbackInfo& info);
  Napi::Value add_persistent(const Napi::CallbackInfo& info);
  Napi::Value add_node(const Napi::CallbackInfo& info);
  Napi::Value gradients(const Napi::CallbackInfo& info);
  Napi::Value type(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);

  Graph graph_;
};

/// A compiled graph; made by Graph.compile().
class ProgramWrap : public Napi::ObjectWrap<ProgramWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ProgramWrap(const Napi::CallbackInfo& info);

 private:
  struct State {
    std::unique_ptr<Program> program;
    std::atomic<bool> cancel{false};
    bool running = false;  // touched by the JavaScript thread only
  };
  const std::shared_ptr<State>& state() const;
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value outputs(const Napi::CallbackInfo& info);
  Napi::Value explain(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  std::shared_ptr<State> state_;
};

}  // namespace sfr::binding
