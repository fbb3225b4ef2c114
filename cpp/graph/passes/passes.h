// Graph rewrites. Each takes a graph and leaves an equivalent one; each has its own file and its own test.
#pragma once
#include <vector>

#include "../graph.h"

namespace sfr {

/// relu(batch_norm(x)) and relu(batch_norm(x)) + skip become one batch_norm node with attribute relu and an
/// input skip: the normalised volume is written once; relu(instance_norm(x)) likewise. Only where nobody else
/// reads the values in between.
void fuse_batch_norm(Graph& graph, const std::vector<ValueId>& outputs);

/// A convolution whose input is relu(batch_norm(x)), or that plus a skip, reads x and the skip and normalises
/// while it loads; the skip may be another relu(batch_norm(z)). Forward and weight gradient, for inputs of
/// `least_bytes` and more; the normalised volume remains for other readers only. After gradients are made.
void normalise_on_load(Graph& graph, size_t least_bytes);

/// Drops nodes that neither write state nor lead to one that does or to an output.
void remove_unused_nodes(Graph& graph, const std::vector<ValueId>& outputs);

/// Moves each node that writes state as late as the readers of that state allow, keeping the order of
/// construction among them: a step that is cancelled before its first write leaves the state untouched.
void sink_state_writes(Graph& graph);

/// Computes values again where they are needed, rather than keeping them while memory is fullest: those of
/// ops marked Repeat::always wherever that frees memory; others, cheapest per byte first, until the values
/// fit `arena_bytes` (0: no limit). A repeated node gives the same bits.
void repeat_nodes(Graph& graph, const std::vector<ValueId>& outputs, size_t arena_bytes);

/// Lets f32 values of the forward pass wait for the backward pass as bf16 while memory is fullest: rounded
/// behind their last reader before, widened for each reader after. The forward pass keeps reading f32.
/// `built`: values before differentiation; later ones are the backward pass's. Depends on the graph alone.
void keep_as_bf16(Graph& graph, const std::vector<ValueId>& outputs, size_t built);

/// Stores activations as bf16 on a device, as mixed precision in PyTorch does: what matrix products give, and
/// what other ops make of values in bf16, wherever the producer writes and all readers read bf16
/// (OpDef::bf16_outputs, bf16_inputs). Losses, statistics, probabilities, gradients of parameters, state and
/// the program's inputs and results stay as they are. Depends on the graph alone.
void store_as_bf16(Graph& graph, const std::vector<ValueId>& outputs);

}  // namespace sfr
