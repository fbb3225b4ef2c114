// Checks that a graph is legal. Runs after every pass; it finds faults of this program, not of its users.
#pragma once
#include "graph/graph.h"

namespace sfr {

/// Throws Error(internal) naming `stage` and the node when a node reads a value before it is computed, a
/// value is computed twice, an output's type is not what the op infers, or a node writes something that is
/// not state.
void verify_graph(const Graph& graph, const std::vector<ValueId>& outputs, const std::string& stage);

}  // namespace sfr
