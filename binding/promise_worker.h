// The one template for asynchronous work: runs a function off the main thread, keeps a JavaScript object
// alive meanwhile, and settles a promise. Every exception becomes a rejection with a code.
#pragma once
#include <functional>

#include "convert.h"

namespace sfr::binding {

class PromiseWorker : public Napi::AsyncWorker {
 public:
  /// `work` runs off the main thread; `settled` runs on it afterwards, whatever the outcome.
  static Napi::Promise run(Napi::Object keep_alive, std::function<void()> work,
                           std::function<void()> settled) {
    auto* worker =
        new PromiseWorker(keep_alive, std::move(work), std::move(settled));  // deletes itself (Napi)
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      work_();
    } catch (const Error& error) {
      fail(error_code_name(error.code()), error.what());
    } catch (const std::bad_alloc&) {
      fail("device", "memory: expected more to be available; use a smaller patch or batch");
    } catch (const std::exception& error) {
      fail("internal", error.what());
    }
  }
  void OnOK() override {
    settled_();
    deferred_.Resolve(Env().Undefined());
  }
  void OnError(const Napi::Error& error) override {
    settled_();
    deferred_.Reject(to_js_error(Env(), code_.c_str(), error.Message()).Value());
  }

 private:
  PromiseWorker(Napi::Object keep_alive, std::function<void()> work, std::function<void()> settled)
      : Napi::AsyncWorker(keep_alive.Env()),
        deferred_(Napi::Promise::Deferred::New(keep_alive.Env())),
        work_(std::move(work)),
        settled_(std::move(settled)),
        keep_alive_(Napi::Persistent(keep_alive)) {}
  void fail(const char* code, const std::string& message) {
    code_ = code;
    SetError(message);
  }

  Napi::Promise::Deferred deferred_;
  std::function<void()> work_, settled_;
  Napi::ObjectReference keep_alive_;
  std::string code_ = "internal";
};

}  // namespace sfr::binding
