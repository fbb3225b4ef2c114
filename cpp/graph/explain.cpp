#include <cstdio>

#include "graph/program.h"

namespace sfr {

namespace {

std::string quoted(const std::string& text) {
  std::string s = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') s += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) s += c;
  }
  return s + "\"";
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

std::string type_list(const std::vector<const TensorType*>& types) {
  std::string list;
  for (const TensorType* t : types) list += (list.empty() ? "" : ",") + (t ? quoted(t->text()) : "null");
  return "[" + list + "]";
}

/// Bytes that a node has to read and write, each tensor once; state that it updates in place counts twice.
double bytes_moved(const Node& node, const NodeTypes& types) {
  if (node.op->is_view) return 0;
  double bytes = 0;
  for (size_t i = 0; i < types.inputs.size(); ++i)
    if (types.has(i))
      bytes += static_cast<double>(types.input(i).bytes()) *
               (node.op->writes != nullptr && node.op->writes(types, i) ? 2 : 1);
  for (const TensorType& t : types.outputs) bytes += static_cast<double>(t.bytes());
  return bytes;
}

}  // namespace

std::string Program::explain() const {
  std::string nodes;
  double total_flops = 0, total_bytes = 0;
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    const Node& node = graph_.nodes()[n];
    const NodeTypes types = graph_.node_types(node);
    const double flops = node.op->flops ? node.op->flops(types) : 0;
    const double bytes = bytes_moved(node, types);
    std::vector<const TensorType*> outputs;
    for (const TensorType& t : types.outputs) outputs.push_back(&t);
    total_flops += flops;
    total_bytes += bytes;
    nodes += std::string(n ? "," : "") + "{\"op\":" + quoted(node.op->name) +
             ",\"name\":" + quoted(node.name) +
             ",\"kernel\":" + (bound_[n].kernel ? quoted(bound_[n].kernel->name) : "null") +
             ",\"refused\":" + quoted(bound_[n].refused) + ",\"inputs\":" + type_list(types.inputs) +
             ",\"outputs\":" + type_list(outputs) + ",\"flops\":" + number(flops) +
             ",\"bytes\":" + number(bytes) + ",\"seconds\":" + number(seconds_[n]) + "}";
  }
  return "{\"nodes\":[" + nodes +
         "],\"device\":" + quoted(options_.device ? options_.device->name() : "cpu") +
         ",\"arenaBytes\":" + std::to_string(plan_.arena_bytes) +
         ",\"workBytes\":" + std::to_string(plan_.work_bytes) +
         ",\"outputBytes\":" + std::to_string(plan_.output_bytes) +
         ",\"persistentBytes\":" + std::to_string(plan_.persistent_bytes) + ",\"peakBytes\":" +
         std::to_string(plan_.arena_bytes + plan_.work_bytes + plan_.output_bytes + plan_.persistent_bytes) +
         ",\"flops\":" + number(total_flops) + ",\"bytesMoved\":" + number(total_bytes) + "}";
}

}  // namespace sfr
