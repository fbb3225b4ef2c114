// JavaScript values to C++ and back, with checks that name the argument; errors both ways.
#pragma once
#include <napi.h>

#include <exception>

#include "core/error.h"
#include "core/tensor.h"
#include "graph/graph.h"

namespace sfr::binding {

/// A JavaScript error whose `code` is the error's code; src/native/native.ts turns it into a typed error.
inline Napi::Error to_js_error(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

/// Runs `body` and turns every C++ exception into a JavaScript one.
template <class F>
auto guarded(Napi::Env env, F&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_js_error(env, error_code_name(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    throw to_js_error(env, "device", "memory: expected more to be available; use a smaller patch or batch");
  } catch (const std::exception& error) {
    throw to_js_error(env, "internal", error.what());
  }
}

[[noreturn]] inline void fail(const char* name, const char* expected) {
  throw Error(ErrorCode::usage, std::string("native: expected ") + expected + " for " + name);
}

inline std::string to_string(const Napi::Value& v, const char* name) {
  if (!v.IsString()) fail(name, "a text");
  return v.As<Napi::String>().Utf8Value();
}

inline double to_number(const Napi::Value& v, const char* name) {
  if (!v.IsNumber()) fail(name, "a number");
  return v.As<Napi::Number>().DoubleValue();
}

inline int64_t to_integer(const Napi::Value& v, const char* name) {
  const double d = to_number(v, name);
  if (d != std::floor(d) || std::abs(d) > 9e15) fail(name, "an integer");
  return static_cast<int64_t>(d);
}

template <class T, class F>
std::vector<T> to_list(const Napi::Value& v, const char* name, F&& element) {
  if (!v.IsArray()) fail(name, "an array");
  const auto array = v.As<Napi::Array>();
  std::vector<T> list;
  for (uint32_t i = 0; i < array.Length(); ++i) list.push_back(element(Napi::Value(array[i])));
  return list;
}

inline Shape to_shape(const Napi::Value& v) {
  return Shape(to_list<int64_t>(v, "shape", [](const Napi::Value& e) { return to_integer(e, "shape"); }));
}

inline std::vector<ValueId> to_ids(const Napi::Value& v, const char* name) {
  return to_list<ValueId>(v, name,
                          [&](const Napi::Value& e) { return static_cast<ValueId>(to_integer(e, name)); });
}

inline AttributeMap to_attributes(const Napi::Value& v) {
  AttributeMap map;
  if (v.IsUndefined()) return map;
  if (!v.IsObject()) fail("attributes", "an object");
  const auto object = v.As<Napi::Object>();
  const Napi::Array keys = object.GetPropertyNames();
  for (uint32_t i = 0; i < keys.Length(); ++i) {
    const std::string key = to_string(keys[i], "attribute name");
    const Napi::Value value = object.Get(key);
    if (value.IsBoolean())
      map[key] = value.As<Napi::Boolean>().Value();
    else if (value.IsString())
      map[key] = to_string(value, key.c_str());
    else if (value.IsArray())
      map[key] = to_list<double>(value, key.c_str(),
                                 [&](const Napi::Value& e) { return to_number(e, key.c_str()); });
    else
      map[key] = to_number(value, key.c_str());
  }
  return map;
}

inline Napi::Array from_ids(Napi::Env env, const std::vector<ValueId>& ids) {
  Napi::Array array = Napi::Array::New(env, ids.size());
  for (uint32_t i = 0; i < ids.size(); ++i) array[i] = Napi::Number::New(env, ids[i]);
  return array;
}

inline Napi::Array from_shape(Napi::Env env, const Shape& shape) {
  Napi::Array array = Napi::Array::New(env, static_cast<size_t>(shape.rank()));
  for (int i = 0; i < shape.rank(); ++i)
    array[static_cast<uint32_t>(i)] = Napi::Number::New(env, static_cast<double>(shape[i]));
  return array;
}

}  // namespace sfr::binding
