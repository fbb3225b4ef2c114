#include "graph/memory_plan.h"

#include <algorithm>

namespace sfr {

namespace {

class Planner {
 public:
  Planner(const Graph& graph, const std::vector<ValueId>& outputs, bool in_place)
      : graph_(graph), outputs_(outputs), in_place_(in_place) {
    plan_.values.resize(graph_.values().size());
    place_fixed_values();
    const std::vector<Node>& nodes = graph_.nodes();
    for (size_t n = 0; n < nodes.size(); ++n) start_outputs(nodes[n], static_cast<int>(n));
  }

  MemoryPlan lifetimes() { return std::move(plan_); }

  MemoryPlan run(size_t work_bytes) {
    assign_offsets();
    plan_.work_bytes = work_bytes;
    return std::move(plan_);
  }

 private:
  Placement& at(ValueId v) { return plan_.values[static_cast<size_t>(v)]; }
  ValueId owner(ValueId v) { return at(v).owner == kNoValue ? v : at(v).owner; }

  void place_fixed_values() {
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const Value& value = graph_.values()[i];
      Placement& p = plan_.values[i];
      p.bytes = value.type.bytes();
      if (value.kind == ValueKind::input) p.where = Placement::Where::input;
      if (value.kind == ValueKind::persistent) {
        p.where = Placement::Where::persistent;
        plan_.persistent_bytes += p.bytes;
      }
    }
    for (const ValueId v : outputs_) {
      if (graph_.value(v).kind != ValueKind::node || at(v).where == Placement::Where::output) continue;
      at(v).where = Placement::Where::output;
      plan_.output_bytes += at(v).bytes;
    }
    last_use_.assign(graph_.values().size(), -1);
    const std::vector<Node>& nodes = graph_.nodes();
    for (size_t n = 0; n < nodes.size(); ++n)
      for (const ValueId v : nodes[n].inputs)
        if (v != kNoValue) last_use_[static_cast<size_t>(v)] = static_cast<int>(n);
  }

  void start_outputs(const Node& node, int index) {
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId out = node.outputs[i];
      Placement& p = at(out);
      p.first = index;
      p.last = std::max(index, last_use_[static_cast<size_t>(out)]);
      if (p.where == Placement::Where::output) continue;
      p.where = Placement::Where::arena;
      const ValueId source = i == 0 ? reusable_input(node, index) : kNoValue;
      if (source == kNoValue) continue;
      p.where = Placement::Where::view;
      p.owner = owner(source);
      at(p.owner).last = std::max(at(p.owner).last, p.last);
    }
  }

  /// The input whose memory output 0 of the node may take over, if any.
  ValueId reusable_input(const Node& node, int index) {
    if (node.op->is_view) return node.inputs[0];
    if (!in_place_) return kNoValue;
    for (const size_t i : node.op->in_place_inputs)
      if (i < node.inputs.size() && node.inputs[i] != kNoValue && can_take_over(node, index, node.inputs[i]))
        return node.inputs[i];
    return kNoValue;
  }

  bool can_take_over(const Node& node, int index, ValueId in) {
    const ValueId memory = owner(in);
    const bool dies_here = last_use_[static_cast<size_t>(in)] == index && at(memory).last <= index &&
                           at(memory).where == Placement::Where::arena;
    // The node may read the same memory through another input, which it would overwrite.
    int readers = 0;
    for (const ValueId v : node.inputs) readers += v != kNoValue && owner(v) == memory ? 1 : 0;
    return dies_here && readers == 1 && at(in).bytes == at(node.outputs[0]).bytes;
  }

  void assign_offsets() {
    std::vector<ValueId> order;
    for (size_t i = 0; i < plan_.values.size(); ++i)
      if (plan_.values[i].where == Placement::Where::arena) order.push_back(static_cast<ValueId>(i));
    std::stable_sort(order.begin(), order.end(),
                     [&](ValueId a, ValueId b) { return at(a).bytes > at(b).bytes; });
    std::vector<ValueId> placed;
    for (const ValueId v : order) {
      Placement& p = at(v);
      const size_t size = (p.bytes + 63) / 64 * 64 + kGuardBytes;
      size_t offset = 0;
      for (const ValueId other : placed) {  // sorted by offset
        const Placement& o = at(other);
        if (o.last < p.first || p.last < o.first) continue;
        if (offset + size <= o.offset) break;
        offset = std::max(offset, o.offset + (o.bytes + 63) / 64 * 64 + kGuardBytes);
      }
      p.offset = offset;
      plan_.arena_bytes = std::max(plan_.arena_bytes, offset + size);
      placed.insert(std::upper_bound(placed.begin(), placed.end(), v,
                                     [&](ValueId a, ValueId b) { return at(a).offset < at(b).offset; }),
                    v);
    }
  }

  const Graph& graph_;
  const std::vector<ValueId>& outputs_;
  const bool in_place_;
  MemoryPlan plan_;
  std::vector<int> last_use_;
};

}  // namespace

MemoryPlan plan_memory(const Graph& graph, const std::vector<ValueId>& outputs, size_t work_bytes) {
  return Planner(graph, outputs, true).run(work_bytes);
}

MemoryPlan plan_lifetimes(const Graph& graph, const std::vector<ValueId>& outputs, bool in_place) {
  return Planner(graph, outputs, in_place).lifetimes();
}

Peak find_peak(const Graph& graph, const MemoryPlan& plan) {
  std::vector<int64_t> change(graph.nodes().size() + 1, 0);
  for (const Placement& p : plan.values) {
    if (p.where != Placement::Where::arena) continue;
    change[static_cast<size_t>(p.first)] += static_cast<int64_t>(p.bytes);
    change[static_cast<size_t>(p.last) + 1] -= static_cast<int64_t>(p.bytes);
  }
  Peak peak;
  int64_t alive = 0;
  for (size_t n = 0; n < change.size(); ++n) {
    alive += change[n];
    if (alive > static_cast<int64_t>(peak.bytes)) peak = {static_cast<int>(n), static_cast<size_t>(alive)};
  }
  return peak;
}

size_t work_bytes_on_cpu(const Graph& graph, int threads) {
  size_t bytes = 0;
  for (const Node& node : graph.nodes())
    if (node.op->work_bytes != nullptr)
      bytes = std::max(bytes, node.op->work_bytes(graph.node_types(node), threads));
  return bytes;
}

size_t work_bytes_on_cuda(const Graph& graph) {
  size_t bytes = 0;
  for (const Node& node : graph.nodes())
    if (node.op->cuda_work_bytes != nullptr)
      bytes = std::max(bytes, node.op->cuda_work_bytes(graph.node_types(node)));
  return bytes;
}

void verify_memory_plan(const Graph& graph, const MemoryPlan& plan) {
  std::vector<size_t> live;
  for (size_t i = 0; i < plan.values.size(); ++i)
    if (plan.values[i].where == Placement::Where::arena) live.push_back(i);
  std::sort(live.begin(), live.end(),
            [&](size_t a, size_t b) { return plan.values[a].first < plan.values[b].first; });
  for (size_t i = 0; i < live.size(); ++i) {
    const Placement& a = plan.values[live[i]];
    for (size_t j = i + 1; j < live.size() && plan.values[live[j]].first <= a.last; ++j) {
      const Placement& b = plan.values[live[j]];
      if (a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes)
        throw Error(ErrorCode::internal, "memory plan: " + graph.values()[live[i]].name + " and " +
                                             graph.values()[live[j]].name +
                                             " are alive together and overlap");
    }
  }
}

}  // namespace sfr
