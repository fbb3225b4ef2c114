#include "graph/device_step.h"

#include <cstring>

namespace sfr {

namespace {

constexpr size_t kAlignment = 256;  // of every value, as the driver aligns its own memory
constexpr int kPoison = 0xFF;       // NaN as f32 and f64

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

DeviceStep::DeviceStep(std::shared_ptr<Device> device, const Graph& graph, const MemoryPlan& plan,
                       const std::vector<const Kernel*>& kernels, const std::map<ValueId, TensorPtr>& outputs,
                       DeviceRun mode)
    : device_(std::move(device)), graph_(graph), plan_(plan), kernels_(kernels), mode_(mode) {
  place_state();
  place_transfers(outputs);
  const Device::Lease lease(*device_);
  staging_ = device_->allocate_pinned(transfer_bytes_);
  transfers_ = device_->memory().allocate(transfer_bytes_);
  for (size_t n = 0; mode_ == DeviceRun::timed && n <= graph_.nodes().size(); ++n)
    events_.push_back(device_->create_event());
}

DeviceStep::~DeviceStep() {
  release_capture();
}

void DeviceStep::place_state() {
  for (const Node& node : graph_.nodes()) {
    const NodeTypes types = graph_.node_types(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == kNoValue) continue;
      const TensorPtr& state = graph_.value(node.inputs[i]).persistent;
      if (!state || state->device() != nullptr) continue;
      const std::shared_ptr<Mirror>& mirror = mirrors_[node.inputs[i]] = Mirror::of(*state, device_);
      if (node.op->writes != nullptr && node.op->writes(types, i)) changed_.push_back(mirror);
    }
  }
}

/// Inputs and results one after the other; the fault comes first.
void DeviceStep::place_transfers(const std::map<ValueId, TensorPtr>& outputs) {
  transfer_bytes_ = aligned(sizeof(DeviceFault));
  const auto place = [&](ValueId v, std::vector<Transfer>& list) {
    if (offset_of_.count(v) != 0) return;
    offset_of_[v] = transfer_bytes_;
    list.push_back({v, transfer_bytes_});
    transfer_bytes_ += aligned(graph_.type(v).bytes());
  };
  for (const Node& node : graph_.nodes())
    for (const ValueId v : node.inputs)
      if (v != kNoValue && graph_.value(v).kind == ValueKind::input) place(v, in_);
  for (const auto& output : outputs) {
    if (graph_.value(output.first).kind != ValueKind::node) continue;
    place(output.first, out_);
    results_.insert(output);
  }
}

std::byte* DeviceStep::address(ValueId v) const {
  const Placement& p = plan_.values[static_cast<size_t>(v)];
  switch (p.where) {
    case Placement::Where::arena:
      return arena_ + p.offset;
    case Placement::Where::view:
      return address(p.owner);
    case Placement::Where::persistent:
      return mirrors_.count(v) != 0 ? mirrors_.at(v)->address() : graph_.value(v).persistent->data();
    case Placement::Where::output:
    case Placement::Where::input:
      return transfers_.get() + offset_of_.at(v);
    case Placement::Where::nowhere:
      break;
  }
  throw Error(ErrorCode::internal, "device step: value " + graph_.value(v).name + " has no memory");
}

KernelContext DeviceStep::context_of(const Node& node, int32_t index) const {
  KernelContext context;
  for (const ValueId v : node.inputs)
    context.inputs.push_back(v == kNoValue ? TensorView{} : TensorView{address(v), graph_.type(v)});
  for (const ValueId v : node.outputs) context.outputs.push_back({address(v), graph_.type(v)});
  context.attributes = node.attributes.get();
  context.work = arena_ + plan_.arena_bytes;
  context.device = device_.get();
  context.fault = reinterpret_cast<DeviceFault*>(transfers_.get());
  context.node = index;
  return context;
}

/// The arena is shared with other programs and may have grown since the last run.
void DeviceStep::bind(std::byte* arena) {
  if (arena == arena_ && contexts_.size() == graph_.nodes().size()) return;
  release_capture();
  arena_ = arena;
  contexts_.clear();
  for (const Node& node : graph_.nodes())
    contexts_.push_back(context_of(node, static_cast<int32_t>(contexts_.size())));
}

void DeviceStep::release_capture() {
  if (captured_ != nullptr) device_->destroy_graph(captured_);
  captured_ = nullptr;
}

void DeviceStep::run(const std::map<ValueId, TensorPtr>& inputs, const std::atomic<bool>& cancel) {
  for (const auto& entry : mirrors_) entry.second->send(*graph_.value(entry.first).persistent);
  Device::Lease lease(*device_);
  bind(lease.arena(plan_.arena_bytes + plan_.work_bytes));
  for (const Transfer& t : in_)
    std::memcpy(staging_.get() + t.offset, inputs.at(t.value)->data(), graph_.type(t.value).bytes());
  if (cancel.load(std::memory_order_relaxed))
    throw Error(ErrorCode::cancelled, "run: stopped on request before the step's begin");
  if (mode_ != DeviceRun::captured) {
    enqueue();
  } else {
    if (captured_ == nullptr) captured_ = device_->capture([this] { enqueue(); });
    device_->launch_graph(captured_);
  }
  for (const std::shared_ptr<Mirror>& mirror : changed_) mirror->set_changed();
  device_->synchronize();
  const auto code = reinterpret_cast<const DeviceFault*>(staging_.get())->code;
  if (code != kNoFault) throw_fault(code);
  for (const Transfer& t : out_)
    std::memcpy(results_.at(t.value)->data(), staging_.get() + t.offset, graph_.type(t.value).bytes());
}

void DeviceStep::enqueue() {
  device_->fill(transfers_.get(), kPoison, sizeof(DeviceFault));  // kNoFault
  for (const Transfer& t : in_)
    device_->copy(transfers_.get() + t.offset, staging_.get() + t.offset, graph_.type(t.value).bytes());
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    if (!events_.empty()) device_->record(events_[n]);
    run_node(n);
  }
  if (!events_.empty()) device_->record(events_.back());
  device_->copy(staging_.get(), transfers_.get(), sizeof(DeviceFault));
  for (const Transfer& t : out_)
    device_->copy(staging_.get() + t.offset, transfers_.get() + t.offset, graph_.type(t.value).bytes());
}

void DeviceStep::run_node(size_t index) {
  const KernelContext& context = contexts_[index];
  if (kernels_[index] == nullptr) {
    const TensorView &to = context.outputs[0], &from = context.inputs[0];
    if (to.data != from.data) device_->copy(to.data, from.data, to.type.bytes());
    return;
  }
  const bool confined = mode_ == DeviceRun::confined;
  if (confined) confine(index);
  kernels_[index]->run(context);
  if (confined && device_->can_watch()) device_->watch({});
}

double DeviceStep::seconds(size_t index) const {
  return events_.empty() ? 0 : device_->seconds(events_[index], events_[index + 1]);
}

void DeviceStep::confine(size_t index) const {
  const Node& node = graph_.nodes()[index];
  const KernelContext& context = contexts_[index];
  const NodeTypes types = graph_.node_types(node);
  std::vector<SfrRegion> regions = {{context.fault, sizeof(DeviceFault), 1},
                                    {context.work, plan_.work_bytes, 1}};
  device_->fill(context.work, kPoison, plan_.work_bytes);
  for (const TensorView& y : context.outputs) {
    bool in_place = false;
    for (const TensorView& x : context.inputs) in_place = in_place || x.data == y.data;
    if (!in_place) device_->fill(y.data, kPoison, y.type.bytes());
    regions.push_back({y.data, y.type.bytes(), 1});
  }
  for (size_t i = 0; i < context.inputs.size(); ++i) {
    const TensorView& x = context.inputs[i];
    const bool written = node.op->writes != nullptr && node.op->writes(types, i);
    if (x) regions.push_back({x.data, x.type.bytes(), written ? 1 : 0});
  }
  if (device_->can_watch()) device_->watch(regions);
}

void DeviceStep::throw_fault(unsigned long long code) const {
  const Node& node = graph_.nodes().at(static_cast<size_t>(code >> kFaultPositionBits));
  const auto position = static_cast<int64_t>(code & ((1ull << kFaultPositionBits) - 1));
  throw Error(ErrorCode::data, node.op->fault_text(graph_.node_types(node), position));
}

}  // namespace sfr
