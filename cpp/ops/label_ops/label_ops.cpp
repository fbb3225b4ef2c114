#include "ops/label_ops/label_ops.h"

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

struct OneHotAttributes {
  int64_t classes = 2;
  template <class V>
  void visit(V& v) {
    v("classes", classes);
  }
};

void infer_one_hot(InferContext& c) {
  const int64_t classes = c.attributes<OneHotAttributes>().classes;
  c.expect_inputs(1, 1);
  c.expect_dtype(0, "labels", DType::u8);
  c.expect(classes >= 1 && classes <= 255, "classes", "1 to 255", std::to_string(classes), ErrorCode::usage);
  std::vector<int64_t> extents = c.input(0, "labels").shape.extents();
  extents.push_back(classes);
  c.output({DType::f32, Shape(extents)});
}

void one_hot_cpu(const KernelContext& c) {
  const int64_t classes = c.as<OneHotAttributes>().classes, count = c.inputs[0].count();
  const uint8_t* labels = c.in<uint8_t>(0);
  for (int64_t i = 0; i < count; ++i)
    if (labels[i] != kIgnoredLabel && labels[i] >= classes)
      throw Error(ErrorCode::data, "one_hot: expected labels below " + std::to_string(classes) +
                                       " or 255, received " + std::to_string(labels[i]));
  const int64_t chunks = chunk_count(count, kElementGrain / classes + 1);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(count, chunk, chunks);
    float* y = c.out<float>(0);
    std::fill(y + r.begin * classes, y + r.end * classes, 0.0f);
    for (int64_t i = r.begin; i < r.end; ++i)
      if (labels[i] != kIgnoredLabel) y[i * classes + labels[i]] = 1.0f;
  });
}

void infer_select(InferContext& c) {
  c.expect_inputs(3, 3);
  c.expect_dtype(0, "a", DType::u8);
  const Shape& a = c.input(0, "a").shape;
  if (c.has(1)) {
    c.expect_dtype(1, "b", DType::u8);
    c.expect_shape(1, "b", a);
  }
  c.expect_dtype(2, "mask", DType::f32);
  const Shape& mask = c.input(2, "mask").shape;
  bool fits = mask.rank() <= a.rank();
  for (int i = 0; fits && i < mask.rank(); ++i) fits = mask[i] == a[a.rank() - mask.rank() + i];
  c.expect(fits, "mask", "the last axes of " + a.text(), mask.text());
  c.output(c.input(0, "a"));
}

void select_cpu(const KernelContext& c) {
  const uint8_t *a = c.in<uint8_t>(0), *b = c.has(1) ? c.in<uint8_t>(1) : nullptr;
  const float* mask = c.in<float>(2);
  const int64_t inner = c.inputs[2].count();
  over_elements(c, [&](int64_t begin, int64_t count) {
    for (int64_t i = begin; i < begin + count; ++i) {
      const uint8_t other = b == nullptr ? kIgnoredLabel : b[i];
      c.out<uint8_t>(0)[i] = mask[i % inner] != 0 ? a[i] : other;
    }
  });
}

void one_hot_cuda(const KernelContext& c) {
  const int64_t count = c.inputs[0].count();
  launch(c, "one_hot", element_grid(count),
         OneHotArgs{c.in<uint8_t>(0), c.out<float>(0), count, c.as<OneHotAttributes>().classes, c.fault,
                    c.node});
}

std::string one_hot_fault(const NodeTypes& t, int64_t position) {
  return "one_hot: expected labels below " + std::to_string(t.as<OneHotAttributes>().classes) +
         " or 255, received another at index " + std::to_string(position);
}

void select_cuda(const KernelContext& c) {
  const int64_t count = c.outputs[0].count();
  launch(c, "select_labels", element_grid(count),
         SelectLabelsArgs{c.in<uint8_t>(0), c.in<uint8_t>(1), c.in<float>(2), c.out<uint8_t>(0), count,
                          c.inputs[2].count()});
}

}  // namespace

void register_label_ops(OpRegistry& registry) {
  OpDef one_hot = op_definition<OneHotAttributes>("one_hot");
  one_hot.infer = &infer_one_hot;
  one_hot.cpu = {{"rows", &one_hot_cpu}};
  one_hot.cuda = {{"thread_per_row", &one_hot_cuda}};
  one_hot.fault_text = &one_hot_fault;
  registry.add(std::move(one_hot));

  OpDef select = op_definition<NoAttributes>("select_labels");
  select.infer = &infer_select;
  select.cpu = {{"loop", &select_cpu}};
  select.cuda = {{"elements", &select_cuda}};
  registry.add(std::move(select));
}

}  // namespace sfr
