// Attributes of a node: a plain struct per op. A struct names its fields once, in visit(); parsing from what
// crosses the border, the list of names and the refusal of unknown keys follow from that.
#pragma once
#include <array>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"

namespace sfr {

/// An attribute as it crosses the border.
using AttributeValue = std::variant<double, bool, std::string, std::vector<double>>;
using AttributeMap = std::map<std::string, AttributeValue>;

/// For ops without attributes.
struct NoAttributes {
  template <class V>
  void visit(V&) {}
};

/// Reads the fields of an attribute struct from a map. A field keeps its default when its key is absent.
class AttributeReader {
 public:
  AttributeReader(const std::string& op, const AttributeMap& map) : op_(op), map_(map) {}

  template <class T>
  void operator()(const char* name, T& field) {
    known_.push_back(name);
    const auto it = map_.find(name);
    if (it != map_.end()) read(name, it->second, field);
  }

  void refuse_unknown() const {
    for (const auto& entry : map_) {
      bool known = false;
      std::string names;
      for (const std::string& k : known_) {
        known = known || k == entry.first;
        names += (names.empty() ? "" : ", ") + k;
      }
      if (!known)
        throw Error(ErrorCode::usage,
                    op_ + ": expected an attribute among (" + names + "), received " + entry.first);
    }
  }

 private:
  [[noreturn]] void fail(const char* name, const char* expected) const {
    throw Error(ErrorCode::usage, op_ + ": expected " + expected + " for attribute " + name);
  }
  template <class T>
  static const T* get(const AttributeValue& value) {
    return std::get_if<T>(&value);
  }
  int64_t integer(const char* name, double number) const {
    if (number != std::floor(number) || std::abs(number) > 9e15) fail(name, "an integer");
    return static_cast<int64_t>(number);
  }
  void read(const char* name, const AttributeValue& v, bool& field) const {
    if (const bool* b = get<bool>(v))
      field = *b;
    else
      fail(name, "true or false");
  }
  void read(const char* name, const AttributeValue& v, double& field) const {
    if (const double* d = get<double>(v))
      field = *d;
    else
      fail(name, "a number");
  }
  void read(const char* name, const AttributeValue& v, int64_t& field) const {
    if (const double* d = get<double>(v))
      field = integer(name, *d);
    else
      fail(name, "an integer");
  }
  void read(const char* name, const AttributeValue& v, std::string& field) const {
    if (const std::string* s = get<std::string>(v))
      field = *s;
    else
      fail(name, "a text");
  }
  void read(const char* name, const AttributeValue& v, std::vector<int64_t>& field) const {
    const auto* list = get<std::vector<double>>(v);
    if (list == nullptr) fail(name, "a list of integers");
    field.clear();
    for (const double d : *list) field.push_back(integer(name, d));
  }
  void read(const char* name, const AttributeValue& v, std::vector<double>& field) const {
    const auto* list = get<std::vector<double>>(v);
    if (list == nullptr) fail(name, "a list of numbers");
    field = *list;
  }
  template <size_t N>
  void read(const char* name, const AttributeValue& v, std::array<int64_t, N>& field) const {
    const auto* list = get<std::vector<double>>(v);
    if (list == nullptr || list->size() != N)
      fail(name, ("a list of " + std::to_string(N) + " integers").c_str());
    for (size_t i = 0; i < N; ++i) field[i] = integer(name, (*list)[i]);
  }
  template <size_t N>
  void read(const char* name, const AttributeValue& v, std::array<double, N>& field) const {
    const auto* list = get<std::vector<double>>(v);
    if (list == nullptr || list->size() != N)
      fail(name, ("a list of " + std::to_string(N) + " numbers").c_str());
    for (size_t i = 0; i < N; ++i) field[i] = (*list)[i];
  }

  const std::string& op_;
  const AttributeMap& map_;
  std::vector<std::string> known_;
};

/// Collects the names of an attribute struct's fields.
struct AttributeNames {
  std::vector<std::string> names;
  template <class T>
  void operator()(const char* name, T&) {
    names.emplace_back(name);
  }
};

template <class A>
std::shared_ptr<const void> parse_attributes(const std::string& op, const AttributeMap& map) {
  auto attributes = std::make_shared<A>();
  AttributeReader reader(op, map);
  attributes->visit(reader);
  reader.refuse_unknown();
  return attributes;
}

template <class A>
std::vector<std::string> attribute_names() {
  A attributes;
  AttributeNames names;
  attributes.visit(names);
  return names.names;
}

}  // namespace sfr
