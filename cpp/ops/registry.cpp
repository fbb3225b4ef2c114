#include "graph/graph.h"

namespace sfr {

#define SFR_OP(name) void register_##name(OpRegistry& registry);
#include "ops.def"
#undef SFR_OP

OpRegistry& OpRegistry::mutable_instance() {
  static OpRegistry registry = [] {
    OpRegistry r;
#define SFR_OP(name) register_##name(r);
#include "ops.def"
#undef SFR_OP
    return r;
  }();
  return registry;
}

const OpRegistry& OpRegistry::instance() {
  return mutable_instance();
}

const OpDef& OpRegistry::get(const std::string& name) const {
  const auto it = ops_.find(name);
  if (it != ops_.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& entry : ops_) names.push_back(entry.first);
  throw Error(ErrorCode::usage, "graph: expected a known op, received " + name + "; did you mean " +
                                    nearest_name(name, names) + "?");
}

void OpRegistry::add(OpDef op) {
  const std::string name = op.name;
  if (!ops_.emplace(name, std::move(op)).second)
    throw Error(ErrorCode::internal, "registry: expected a new op name, received " + name + " twice");
}

}  // namespace sfr
