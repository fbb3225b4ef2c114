// Reverse-mode differentiation: replaces each `gradients` node by the nodes that compute it.
#pragma once
#include "graph/graph.h"

namespace sfr {

/// Expands all `gradients` nodes of the graph in place. Returns, for each value that the graph had before,
/// the value that now stands for it. Throws Error(usage) naming the node that has no gradient rule when the
/// loss depends on a wanted value through it.
std::vector<ValueId> differentiate(Graph& graph);

}  // namespace sfr
