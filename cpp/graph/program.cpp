#include "graph/program.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "graph/autodiff.h"
#include "graph/passes/passes.h"
#include "graph/verify.h"

namespace sfr {

namespace {
constexpr unsigned char kPoisonPattern = 0xFF;  // NaN as f32 and f64: an element that no kernel writes shows
// Before a guarded arena; a page, so that the arena is aligned as it is without guards.
constexpr size_t kFrontGuardBytes = 4096;
}  // namespace

Program::Program(Graph graph, const std::vector<ValueId>& outputs, CompileOptions options)
    : graph_(std::move(graph)),
      outputs_(outputs),
      options_(options),
      planned_threads_(Engine::instance().threads()),
      planned_level_(simd_level()) {
  for (const ValueId v : outputs_) graph_.value(v);  // throws on a foreign id
  expect_state_at_hand();
  verify_graph(graph_, outputs_, "build");
  if (options_.fuse) {
    fuse_batch_norm(graph_, outputs_);
    verify_graph(graph_, outputs_, "fuse_batch_norm");
  }
  const size_t built = graph_.values().size();
  const std::vector<ValueId> now = differentiate(graph_);
  for (ValueId& v : outputs_) v = now[static_cast<size_t>(v)];
  verify_graph(graph_, outputs_, "differentiate");
  if (options_.fuse) {
    normalise_on_load(graph_, kStreamBytes);
    verify_graph(graph_, outputs_, "normalise_on_load");
  }
  remove_unused_nodes(graph_, outputs_);
  verify_graph(graph_, outputs_, "remove_unused_nodes");
  sink_state_writes(graph_);
  verify_graph(graph_, outputs_, "sink_state_writes");
  if (options_.device && options_.bf16_activations) {
    store_as_bf16(graph_, outputs_);
    verify_graph(graph_, outputs_, "store_as_bf16");
  } else if (options_.fuse && options_.keep_bf16) {
    // What is repeated without a limit is decided first: results must not depend on the memory at hand.
    repeat_nodes(graph_, outputs_, 0);
    keep_as_bf16(graph_, outputs_, built);
    verify_graph(graph_, outputs_, "keep_as_bf16");
  }
  if (options_.fuse) {
    repeat_nodes(graph_, outputs_, arena_limit());
    verify_graph(graph_, outputs_, "repeat_nodes");
  }
  bind_kernels();
  seconds_ = std::vector<std::atomic<double>>(graph_.nodes().size());
  plan_ =
      plan_memory(graph_, outputs_,
                  options_.device ? work_bytes_on_cuda(graph_) : work_bytes_on_cpu(graph_, planned_threads_));
  verify_memory_plan(graph_, plan_);
  for (const ValueId v : outputs_) {
    const Value& value = graph_.value(v);
    TensorPtr& tensor = output_of_value_[v];
    if (!tensor)
      tensor = value.persistent ? value.persistent : std::make_shared<Tensor>(value.type, options_.guards);
    output_tensors_.push_back(tensor);
  }
  if (!options_.device) return;
  for (const BoundNode& node : bound_) device_kernels_.push_back(node.kernel);
  const DeviceRun mode = options_.guards       ? DeviceRun::confined
                         : options_.time_nodes ? DeviceRun::timed
                                               : DeviceRun::captured;
  device_step_ =
      std::make_unique<DeviceStep>(options_.device, graph_, plan_, device_kernels_, output_of_value_, mode);
}

void Program::expect_state_at_hand() const {
  for (const Value& value : graph_.values())
    if (value.persistent && value.persistent->device() != nullptr &&
        value.persistent->device() != options_.device.get())
      throw Error(ErrorCode::device,
                  "program: expected the state " + value.name + " in host memory" +
                      (options_.device ? " or that of " + options_.device->name() : std::string()) +
                      ", received it elsewhere; copy it there first");
}

size_t Program::arena_limit() const {
  const size_t limit =
      options_.device ? options_.device->memory().budget() : Engine::instance().memory_limit();
  if (limit == 0) return 0;
  size_t fixed = plan_lifetimes(graph_, outputs_, true).output_bytes;
  if (options_.device) {
    fixed += options_.device->memory().bytes_in_use() + work_bytes_on_cuda(graph_);
    for (const Value& value : graph_.values()) {
      const bool is_there = value.persistent && (value.persistent->device() || value.persistent->twin());
      if (value.kind == ValueKind::input || (value.persistent && !is_there)) fixed += value.type.bytes();
    }
  } else {
    fixed += Engine::instance().bytes_beside_arena() + work_bytes_on_cpu(graph_, planned_threads_);
  }
  return std::max(limit, fixed + 1) - fixed;
}

void Program::bind_kernels() {
  first_write_ = graph_.nodes().size();
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Node& node = graph_.nodes()[n];
    const NodeTypes types = graph_.node_types(node);
    BoundNode bound;
    for (const Kernel& kernel : options_.device ? node.op->cuda : node.op->cpu) {
      const char* reason = kernel.refuses ? kernel.refuses(types) : nullptr;
      if (reason == nullptr) {
        bound.kernel = &kernel;
        break;
      }
      bound.refused += (bound.refused.empty() ? "" : "; ") + std::string(kernel.name) + ": " + reason;
    }
    if (bound.kernel == nullptr && !node.op->is_view)
      throw Error(ErrorCode::device, node.op->name + " " + node.name + ": expected a " +
                                         (options_.device ? "CUDA" : "CPU") + " kernel that supports it, " +
                                         (bound.refused.empty() ? "there is none" : bound.refused));
    for (size_t i = 0; node.op->writes != nullptr && i < node.inputs.size(); ++i)
      if (node.inputs[i] != kNoValue && node.op->writes(types, i)) first_write_ = std::min(first_write_, n);
    bound_.push_back(bound);
  }
}

std::byte* Program::address(ValueId v, std::byte* arena, const std::map<ValueId, TensorPtr>& inputs) const {
  const Placement& p = plan_.values[static_cast<size_t>(v)];
  switch (p.where) {
    case Placement::Where::arena:
      return arena + p.offset;
    case Placement::Where::view:
      return address(p.owner, arena, inputs);
    case Placement::Where::persistent:
      return graph_.value(v).persistent->data();
    case Placement::Where::output:
      return output_of_value_.at(v)->data();
    case Placement::Where::input:
      return inputs.at(v)->data();
    case Placement::Where::nowhere:
      break;
  }
  throw Error(ErrorCode::internal, "program: value " + graph_.value(v).name + " has no memory");
}

void Program::check_inputs(const std::map<ValueId, TensorPtr>& inputs) const {
  const auto check = [&](ValueId v) {
    if (v == kNoValue || graph_.value(v).kind != ValueKind::input) return;
    const auto given = inputs.find(v);
    const std::string& name = graph_.value(v).name;
    if (given == inputs.end())
      throw Error(ErrorCode::usage, "run: expected a tensor for input " + name + ", received none");
    if (given->second->type() != graph_.type(v))
      throw Error(given->second->type().dtype == graph_.type(v).dtype ? ErrorCode::shape : ErrorCode::dtype,
                  "run: expected " + graph_.type(v).text() + " for input " + name + ", received " +
                      given->second->type().text());
  };
  for (const Node& node : graph_.nodes())
    for (const ValueId v : node.inputs) check(v);
  for (const ValueId v : outputs_) check(v);
}

void Program::run(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel) {
  check_inputs(inputs);
  if (device_step_)
    run_on_device(inputs, cancel);
  else
    run_on_cpu(inputs, cancel);
  for (const ValueId v : outputs_)
    if (graph_.value(v).kind == ValueKind::input)
      std::memcpy(output_of_value_.at(v)->data(), inputs.at(v)->data(), graph_.type(v).bytes());
}

void Program::run_on_device(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel) {
  device_step_->run(inputs, cancel);
  for (size_t n = 0; options_.time_nodes && n < seconds_.size(); ++n) seconds_[n] = device_step_->seconds(n);
}

void Program::run_on_cpu(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel) {
  Engine::Lease lease(Engine::instance());
  plan_for(lease.pool().threads());
  const size_t front = options_.guards ? kFrontGuardBytes : 0;
  std::byte* arena = lease.arena(front + plan_.arena_bytes + plan_.work_bytes + kGuardBytes) + front;
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    if (n <= first_write_ && cancel.load(std::memory_order_relaxed))
      throw Error(ErrorCode::cancelled, "run: stopped on request before the step's end");
    const Node& node = graph_.nodes()[n];
    if (options_.guards) set_guards(node, arena);
    const auto start = std::chrono::steady_clock::now();
    run_node(n, arena, inputs, lease.pool());
    seconds_[n] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (options_.guards) check_guards(node, arena, inputs);
  }
}

void Program::plan_for(int threads) {
  if (threads == planned_threads_ && simd_level() == planned_level_) return;
  plan_.work_bytes = work_bytes_on_cpu(graph_, threads);
  planned_threads_ = threads;
  planned_level_ = simd_level();
}

void Program::run_node(size_t index, std::byte* arena, const std::map<ValueId, TensorPtr>& inputs,
                       ThreadPool& pool) {
  const Node& node = graph_.nodes()[index];
  if (node.op->is_view) {
    std::byte* to = address(node.outputs[0], arena, inputs);
    const std::byte* from = address(node.inputs[0], arena, inputs);
    if (to != from) std::memcpy(to, from, graph_.type(node.outputs[0]).bytes());
    return;
  }
  KernelContext context;
  for (const ValueId v : node.inputs) {
    TensorView view;
    if (v != kNoValue) view = {address(v, arena, inputs), graph_.type(v)};
    context.inputs.push_back(view);
  }
  for (const ValueId v : node.outputs) context.outputs.push_back({address(v, arena, inputs), graph_.type(v)});
  context.attributes = node.attributes.get();
  context.work = arena + plan_.arena_bytes;
  context.pool = &pool;
  bound_[index].kernel->run(context);
}

// A value's neighbours in the arena end kGuardBytes before it and begin as far behind it (memory_plan.cpp),
// so the patterns of live values never lie in another one's elements. The same holds of the work memory.
void Program::set_guards(const Node& node, std::byte* arena) const {
  for (const ValueId v : node.outputs) {
    const Placement& p = plan_.values[static_cast<size_t>(v)];
    if (p.where == Placement::Where::output)
      std::memset(output_of_value_.at(v)->data(), kPoisonPattern, p.bytes);
    if (p.where != Placement::Where::arena) continue;
    set_guard(arena + p.offset - kGuardBytes, kGuardBytes);
    std::memset(arena + p.offset, kPoisonPattern, p.bytes);
    set_guard(arena + p.offset + p.bytes, kGuardBytes);
  }
  std::byte* work = arena + plan_.arena_bytes;
  set_guard(work - kGuardBytes, kGuardBytes);
  std::memset(work, kPoisonPattern, plan_.work_bytes);
  set_guard(work + plan_.work_bytes, kGuardBytes);
}

const char* Program::guard_fault(ValueId v, const std::byte* arena,
                                 const std::map<ValueId, TensorPtr>& inputs) const {
  const Placement& p = plan_.values[static_cast<size_t>(v)];
  switch (p.where) {
    case Placement::Where::arena: {
      const std::byte* data = arena + p.offset;
      if (!guard_intact(data - kGuardBytes, kGuardBytes)) return "before";
      return guard_intact(data + p.bytes, kGuardBytes) ? nullptr : "behind";
    }
    case Placement::Where::view:
      return guard_fault(p.owner, arena, inputs);
    case Placement::Where::persistent:
      return graph_.value(v).persistent->guard_fault();
    case Placement::Where::output:
      return output_of_value_.at(v)->guard_fault();
    case Placement::Where::input:
      return inputs.at(v)->guard_fault();
    case Placement::Where::nowhere:
      break;
  }
  return nullptr;
}

void Program::check_guards(const Node& node, const std::byte* arena,
                           const std::map<ValueId, TensorPtr>& inputs) const {
  const auto check = [&](const char* fault, const std::string& what) {
    if (fault != nullptr)
      throw Error(ErrorCode::internal, node.op->name + " " + node.name + ": wrote " + fault + " its " + what);
  };
  for (const ValueId v : node.outputs) check(guard_fault(v, arena, inputs), "output " + graph_.value(v).name);
  for (const ValueId v : node.inputs)
    if (v != kNoValue) check(guard_fault(v, arena, inputs), "input " + graph_.value(v).name);
  const std::byte* work = arena + plan_.arena_bytes;
  if (!guard_intact(work - kGuardBytes, kGuardBytes)) check("before", "work memory");
  if (!guard_intact(work + plan_.work_bytes, kGuardBytes)) check("behind", "work memory");
}

}  // namespace sfr
