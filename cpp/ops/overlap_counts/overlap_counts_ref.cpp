#include "graph/graph.h"
#include "graph/program.h"
#include "native/expect.h"
#include "native/op_test.h"

namespace sfr::test {

namespace {

template <class T>
void overlap_counts_reference(RefContext<T>& c) {
  const int64_t classes = c.outputs[0].dim(0);
  for (int64_t i = 0; i < c.inputs[0].count(); ++i)
    c.outputs[0][static_cast<int64_t>(c.inputs[1][i]) * classes + static_cast<int64_t>(c.inputs[0][i])] += 1;
}

OpCase drawn(std::string name, Shape shape, double classes) {
  const InputSpec labels = {shape, DType::u8, Fill::labels, classes};
  return {std::move(name), {{"classes", classes}}, {labels, labels}};
}

/// Runs of one label, of every length around the eight voxels that are counted at once.
OpCase runs() {
  InputSpec prediction = {{1009}, DType::u8}, reference = prediction;
  for (int i = 0; i < 1009; ++i) {
    prediction.values.push_back(i / 9 % 3);
    reference.values.push_back(i / 31 % 3);
  }
  return {"runs", {{"classes", 3.0}}, {prediction, reference}};
}

const std::vector<OpCase> cases = {drawn("one", {1, 1, 1}, 1), drawn("odd", {5, 7, 11}, 2),
                                   drawn("prime", {8191}, 14), drawn("several_chunks", {300007}, 3), runs()};

SFR_OP_TEST(overlap_counts, overlap_counts_reference, cases);

SFR_TEST("overlap_counts: a label beyond the classes is an error") {
  const TensorType type = {DType::u8, {400000}};
  for (const size_t input : {0, 1}) {
    Graph graph;
    const ValueId p = graph.add_input("p", type), r = graph.add_input("r", type);
    const ValueId counts = graph.add_node("overlap_counts", {p, r}, {{"classes", 2.0}}, "")[0];
    Program program(std::move(graph), {counts}, {});
    const TensorPtr tensors[] = {std::make_shared<Tensor>(type), std::make_shared<Tensor>(type)};
    tensors[input]->data()[399990] = std::byte{255};
    const std::atomic<bool> never{false};
    expect_error([&] { program.run({{p, tensors[0]}, {r, tensors[1]}}, never); }, "labels below 2");
  }
}

}  // namespace

}  // namespace sfr::test
