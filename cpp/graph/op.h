// What an op is: its contract (shapes, gradient rule, work memory) without any device, and a list of
// implementations per device, fastest first, each of which may refuse a node with a reason.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/chunks.h"
#include "core/tensor.h"
#include "core/thread_pool.h"
#include "graph/attributes.h"

namespace sfr {

class Device;
class Graph;
struct DeviceFault;
using ValueId = int32_t;
constexpr ValueId kNoValue = -1;  // an optional input that is absent, or a gradient that nobody needs

/// Types of a node's inputs and outputs, and its attributes: all that work-memory, FLOP and support queries
/// see.
struct NodeTypes {
  std::vector<const TensorType*> inputs;  // null where an optional input is absent
  std::vector<TensorType> outputs;
  const void* attributes = nullptr;

  const TensorType& input(size_t i) const { return *inputs[i]; }
  bool has(size_t i) const { return i < inputs.size() && inputs[i] != nullptr; }
  template <class A>
  const A& as() const {
    return *static_cast<const A*>(attributes);
  }
};

/// Given to an op's infer function: reads input types, checks them, and appends output types.
class InferContext {
 public:
  InferContext(std::string where, NodeTypes& types) : where_(std::move(where)), types_(types) {}

  size_t input_count() const { return types_.inputs.size(); }
  bool has(size_t i) const { return types_.has(i); }
  /// Type of input i; throws Error(shape) when it is absent.
  const TensorType& input(size_t i, const char* name) const;
  template <class A>
  const A& attributes() const {
    return types_.as<A>();
  }

  void output(TensorType type) { types_.outputs.push_back(type); }

  /// Throws `<where>: expected <expected> for <name>, received <received>` unless the condition holds.
  void expect(bool condition, const char* name, const std::string& expected, const std::string& received,
              ErrorCode code = ErrorCode::shape) const;
  void expect_dtype(size_t i, const char* name, DType dtype) const;
  void expect_rank(size_t i, const char* name, int rank) const;
  void expect_shape(size_t i, const char* name, const Shape& shape) const;
  void expect_inputs(size_t least, size_t most) const;
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  NodeTypes& types_;
};

/// Given to an op's gradient rule. The rule adds nodes to the graph and sets the gradient of each wanted
/// input.
class GradientContext {
 public:
  GradientContext(Graph& graph, const std::vector<ValueId>& inputs, const std::vector<ValueId>& outputs,
                  const void* attributes, std::vector<ValueId> output_gradients, std::vector<bool> wanted,
                  std::string name);

  Graph& graph() { return graph_; }
  ValueId input(size_t i) const { return i < inputs_.size() ? inputs_[i] : kNoValue; }
  ValueId output(size_t i) const { return outputs_[i]; }
  size_t input_count() const { return inputs_.size(); }
  /// Gradient of the loss with respect to output i, or kNoValue when the loss does not depend on it.
  ValueId output_gradient(size_t i) const { return output_gradients_[i]; }
  /// Whether anybody needs the gradient of input i: rules must not compute others.
  bool wants(size_t i) const { return i < wanted_.size() && wanted_[i]; }
  void set(size_t i, ValueId gradient) { gradients_[i] = gradient; }
  template <class A>
  const A& attributes() const {
    return *static_cast<const A*>(attributes_);
  }
  /// Adds a node and returns its outputs; the attribute struct is copied.
  std::vector<ValueId> add(const char* op, const std::vector<ValueId>& inputs);
  template <class A>
  std::vector<ValueId> add(const char* op, const std::vector<ValueId>& inputs, const A& attributes) {
    return add_node(op, inputs, std::make_shared<A>(attributes));
  }
  const TensorType& type(ValueId value) const;
  /// Zeros of the shape of `value`: the gradient of an output that nobody reads.
  ValueId zeros_like(ValueId value);
  const std::vector<ValueId>& gradients() const { return gradients_; }

 private:
  std::vector<ValueId> add_node(const char* op, const std::vector<ValueId>& inputs,
                                std::shared_ptr<const void> attributes);
  Graph& graph_;
  const std::vector<ValueId>& inputs_;
  const std::vector<ValueId>& outputs_;
  const void* attributes_;
  std::vector<ValueId> output_gradients_;
  std::vector<bool> wanted_;
  std::string name_;
  std::vector<ValueId> gradients_;
};

/// Given to a kernel. Outputs are uninitialised memory; inputs that the op writes (state) are writable.
struct KernelContext {
  std::vector<TensorView> inputs;
  std::vector<TensorView> outputs;
  const void* attributes = nullptr;
  void* work = nullptr;          // as many bytes as work_bytes asked for, 64-byte aligned, uninitialised
  ThreadPool* pool = nullptr;    // on the CPU
  Device* device = nullptr;      // on a device: tensors and work lie in its memory, and where an op finds
  DeviceFault* fault = nullptr;  // bad input it says so here (device/launch.h)
  int32_t node = 0;              // its place in the program, for that

  bool has(size_t i) const { return i < inputs.size() && inputs[i].data != nullptr; }
  template <class T>
  T* in(size_t i) const {
    return i < inputs.size() ? inputs[i].as<T>() : nullptr;
  }
  template <class T>
  T* out(size_t i) const {
    return outputs[i].as<T>();
  }
  template <class A>
  const A& as() const {
    return *static_cast<const A*>(attributes);
  }
};

/// Calls row(begin, count) for parts of the first output's elements, in parallel.
template <class F>
void over_elements(const KernelContext& c, F row) {
  const int64_t count = c.outputs[0].count(), chunks = chunk_count(count, kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    row(r.begin, r.end - r.begin);
  });
}

struct Kernel {
  const char* name;
  void (*run)(const KernelContext&);
  /// Null when the node is supported, else the reason why not. May itself be null: supports everything.
  const char* (*refuses)(const NodeTypes&) = nullptr;
};

/// Whether results of an op may be computed again where they are needed, rather than kept in between. Always:
/// wherever its inputs are still there; to_save_memory: only when a program would not fit its memory else.
enum class Repeat { never, to_save_memory, always };

/// A set of a node's inputs or outputs.
using Operands = uint64_t;
inline constexpr Operands kNone = 0, kFirst = 1, kSecond = 2, kThird = 4, kAll = ~Operands{0};
constexpr Operands nth(size_t i) {
  return Operands{1} << i;
}
constexpr bool contains(Operands operands, size_t i) {
  return operands == kAll || (i < 64 && (operands & nth(i)) != 0);
}

struct Node;

struct OpDef {
  std::string name;
  std::shared_ptr<const void> (*parse)(const std::string&,
                                       const AttributeMap&) = &parse_attributes<NoAttributes>;
  std::vector<std::string> (*names)() = &attribute_names<NoAttributes>;
  void (*infer)(InferContext&) = nullptr;
  /// Null: the op is not differentiable, asking for its gradient is an error that names it.
  void (*gradient)(GradientContext&) = nullptr;
  std::vector<Kernel> cpu;
  /// Bytes of work memory on the CPU with `threads` threads; null: none.
  size_t (*work_bytes)(const NodeTypes&, int threads) = nullptr;
  /// The same for CUDA devices. Each kernel launches the kernels of <op>.cu.
  std::vector<Kernel> cuda;
  size_t (*cuda_work_bytes)(const NodeTypes&) = nullptr;
  /// Inputs and outputs, f32 by the contract, that the CUDA kernels take and give in bf16 as well; see
  /// store_as_bf16.
  Operands bf16_inputs = kNone, bf16_outputs = kNone;
  /// What is wrong with the input where a CUDA kernel found a fault at `position`; null: none looks.
  std::string (*fault_text)(const NodeTypes&, int64_t position) = nullptr;
  /// Multiply-adds count two; null: counted as zero (memory-bound ops).
  double (*flops)(const NodeTypes&) = nullptr;
  /// Whether input i is state that the node updates in place (parameters, statistics); null: none.
  bool (*writes)(const NodeTypes&, size_t input) = nullptr;
  Repeat repeat = Repeat::never;
  /// The node that gives output 0 once more where the node itself would do more or other work; null: the
  /// node.
  Node (*replay)(const Node&) = nullptr;
  /// Output 0 may use the memory of one of these inputs, the first that nobody reads afterwards.
  std::vector<size_t> in_place_inputs;
  /// Output 0 is input 0 under another shape: no work, no memory.
  bool is_view = false;
};

/// Sets the attribute struct of an op definition.
template <class A>
OpDef op_definition(const char* name) {
  OpDef op;
  op.name = name;
  op.parse = &parse_attributes<A>;
  op.names = &attribute_names<A>;
  return op;
}

/// All ops, by name. Filled once, from cpp/ops/ops.def.
class OpRegistry {
 public:
  static const OpRegistry& instance();
  static OpRegistry& mutable_instance();            // tests plant faulty ops here and remove them
  const OpDef& get(const std::string& name) const;  // throws Error(usage) with the nearest name
  void add(OpDef op);
  void remove(const std::string& name) { ops_.erase(name); }
  const std::map<std::string, OpDef>& all() const { return ops_; }

 private:
  OpRegistry() = default;
  std::map<std::string, OpDef> ops_;
};

}  // namespace sfr
