#include "ops/shape_ops/shape_ops.h"

#include <cstring>

#include "core/chunks.h"
#include "device/launch.h"
#include "graph/graph.h"

namespace sfr {

namespace {

/// Output row i of concat, slice and pad consists of parts: `width` bytes at data + i * pitch, or zeros.
struct Part {
  const std::byte* data;  // null: zeros
  int64_t width, pitch;
  bool is_bf16;
};

/// Writes `rows` rows of the parts part(0) .. part(parts - 1), one after the other; one pass over the output.
/// Chunks are ranges of output bytes, so a few long rows are shared among threads as well as many short ones.
template <class F>
void join_parts(const KernelContext& c, int64_t rows, int64_t parts, F part) {
  int64_t width = 0;
  for (int64_t p = 0; p < parts; ++p) width += part(p).width;
  auto* out = static_cast<std::byte*>(c.outputs[0].data);
  const int64_t bytes = rows * width, chunks = chunk_count(bytes, 4 * kElementGrain);
  c.pool->parallel_for(chunks, [&](int64_t chunk, int) {
    const Range r = chunk_range(bytes, chunk, chunks);
    int64_t row = r.begin / width, skip = r.begin % width, at = r.begin;
    while (at < r.end) {
      for (int64_t p = 0; p < parts && at < r.end; ++p) {
        const Part piece = part(p);
        if (skip >= piece.width) {
          skip -= piece.width;
          continue;
        }
        const int64_t count = std::min(piece.width - skip, r.end - at);
        if (piece.data == nullptr)
          std::memset(out + at, 0, static_cast<size_t>(count));
        else
          std::memcpy(out + at, piece.data + row * piece.pitch + skip, static_cast<size_t>(count));
        at += count;
        skip = 0;
      }
      ++row;
    }
  });
}

/// The same on a device: a launch per part. Parts in f32 and bf16 become what the output is; all others are
/// copied as bytes.
template <class F>
void join_parts_cuda(const KernelContext& c, int64_t rows, int64_t parts, F part) {
  const Results y = results_of(c, 0);
  const bool is_float = y.is_bf16 || c.outputs[0].type.dtype == DType::f32;
  const auto units = [&](const Part& piece, int64_t bytes) {
    return is_float ? bytes / element_bytes(piece.is_bf16, 1) : bytes;
  };
  int64_t pitch = 0, begin = 0;
  for (int64_t p = 0; p < parts; ++p) pitch += units(part(p), part(p).width);
  for (int64_t p = 0; p < parts; ++p) {
    const Part piece = part(p);
    const int64_t width = units(piece, piece.width);
    const Results to = is_float ? y + begin : Results{static_cast<std::byte*>(y.data) + begin};
    if (rows * width > 0)
      launch(c, is_float ? "copy_rows_of_elements" : "copy_rows_of_bytes", element_grid(rows * width),
             CopyRowsArgs{{piece.data, piece.is_bf16}, to, rows, width, units(piece, piece.pitch), pitch});
    begin += width;
  }
}

bool is_bf16(const TensorType& type) {
  return type.dtype == DType::bf16;
}

/// Bytes of one step along `axis`.
int64_t step_bytes(const TensorType& type, int64_t axis) {
  return type.shape.count(static_cast<int>(axis) + 1, type.shape.rank()) *
         static_cast<int64_t>(dtype_bytes(type.dtype));
}

void expect_axis(const InferContext& c, int64_t axis, const TensorType& x) {
  c.expect(axis >= 0 && axis < x.shape.rank(), "axis", "an axis of " + x.text(), std::to_string(axis));
}

// ---- reshape

void infer_reshape(InferContext& c) {
  c.expect_inputs(1, 1);
  const TensorType& x = c.input(0, "x");
  const Shape target(c.attributes<ReshapeAttributes>().shape);
  c.expect(target.count() == x.shape.count(), "shape",
           std::to_string(x.shape.count()) + " elements as in " + x.text(), target.text());
  c.output({x.dtype, target});
}

void gradient_reshape(GradientContext& c) {
  c.set(0,
        c.add("reshape", {c.output_gradient(0)}, ReshapeAttributes{c.type(c.input(0)).shape.extents()})[0]);
}

// ---- concat

void infer_concat(InferContext& c) {
  c.expect_inputs(1, SIZE_MAX);
  const int64_t axis = c.attributes<ConcatAttributes>().axis;
  TensorType y = c.input(0, "x0");
  expect_axis(c, axis, y);
  int64_t total = 0;
  for (size_t i = 0; i < c.input_count(); ++i) {
    const std::string name = "x" + std::to_string(i);
    c.expect_dtype(i, name.c_str(), y.dtype);
    Shape like = c.input(i, name.c_str()).shape;
    c.expect(like.rank() == y.shape.rank(), name.c_str(), "the rank of " + y.text(), like.text());
    total += like[static_cast<int>(axis)];
    like.set(static_cast<int>(axis), y.shape[static_cast<int>(axis)]);
    c.expect(like == y.shape, name.c_str(), y.shape.text() + " except along axis " + std::to_string(axis),
             c.input(i, name.c_str()).text());
  }
  y.shape.set(static_cast<int>(axis), total);
  c.output(y);
}

template <class Join>
void concat_parts(const KernelContext& c, Join join) {
  const int64_t axis = c.as<ConcatAttributes>().axis;
  const int64_t rows = c.outputs[0].type.shape.count(0, static_cast<int>(axis));
  join(c, rows, static_cast<int64_t>(c.inputs.size()), [&](int64_t p) {
    const TensorView& x = c.inputs[static_cast<size_t>(p)];
    const int64_t width = x.type.shape[static_cast<int>(axis)] * step_bytes(x.type, axis);
    return Part{x.as<std::byte>(), width, width, is_bf16(x.type)};
  });
}

void gradient_concat(GradientContext& c) {
  const int64_t axis = c.attributes<ConcatAttributes>().axis;
  int64_t begin = 0;
  for (size_t i = 0; i < c.input_count(); ++i) {
    const int64_t end = begin + c.type(c.input(i)).shape[static_cast<int>(axis)];
    if (c.wants(i)) c.set(i, c.add("slice", {c.output_gradient(0)}, SliceAttributes{axis, begin, end})[0]);
    begin = end;
  }
}

// ---- slice

void infer_slice(InferContext& c) {
  c.expect_inputs(1, 1);
  const auto& a = c.attributes<SliceAttributes>();
  TensorType y = c.input(0, "x");
  expect_axis(c, a.axis, y);
  c.expect(a.begin >= 0 && a.begin <= a.end && a.end <= y.shape[static_cast<int>(a.axis)], "begin, end",
           "a range within axis " + std::to_string(a.axis) + " of " + y.text(),
           std::to_string(a.begin) + ", " + std::to_string(a.end));
  y.shape.set(static_cast<int>(a.axis), a.end - a.begin);
  c.output(y);
}

template <class Join>
void slice_parts(const KernelContext& c, Join join) {
  const auto& a = c.as<SliceAttributes>();
  const TensorType& x = c.inputs[0].type;
  const int64_t step = step_bytes(x, a.axis), pitch = x.shape[static_cast<int>(a.axis)] * step;
  join(c, x.shape.count(0, static_cast<int>(a.axis)), 1, [&](int64_t) {
    return Part{c.in<std::byte>(0) + a.begin * step, (a.end - a.begin) * step, pitch, is_bf16(x)};
  });
}

void gradient_slice(GradientContext& c) {
  const auto& a = c.attributes<SliceAttributes>();
  const int64_t extent = c.type(c.input(0)).shape[static_cast<int>(a.axis)];
  c.set(0, c.add("pad", {c.output_gradient(0)}, PadAttributes{a.axis, a.begin, extent - a.end})[0]);
}

// ---- pad

void infer_pad(InferContext& c) {
  c.expect_inputs(1, 1);
  const auto& a = c.attributes<PadAttributes>();
  TensorType y = c.input(0, "x");
  expect_axis(c, a.axis, y);
  c.expect(a.before >= 0 && a.after >= 0, "before, after", "numbers >= 0",
           std::to_string(a.before) + ", " + std::to_string(a.after));
  y.shape.set(static_cast<int>(a.axis), a.before + y.shape[static_cast<int>(a.axis)] + a.after);
  c.output(y);
}

template <class Join>
void pad_parts(const KernelContext& c, Join join) {
  const auto& a = c.as<PadAttributes>();
  const TensorType& x = c.inputs[0].type;
  const int64_t step = step_bytes(x, a.axis), width = x.shape[static_cast<int>(a.axis)] * step;
  const Part parts[] = {{nullptr, a.before * step, 0, is_bf16(x)},
                        {c.in<std::byte>(0), width, width, is_bf16(x)},
                        {nullptr, a.after * step, 0, is_bf16(x)}};
  join(c, x.shape.count(0, static_cast<int>(a.axis)), 3, [&](int64_t p) { return parts[p]; });
}

void gradient_pad(GradientContext& c) {
  const auto& a = c.attributes<PadAttributes>();
  const int64_t extent = c.type(c.input(0)).shape[static_cast<int>(a.axis)];
  c.set(0, c.add("slice", {c.output_gradient(0)}, SliceAttributes{a.axis, a.before, a.before + extent})[0]);
}

const auto on_cpu = [](const KernelContext& c, int64_t rows, int64_t parts, auto part) {
  join_parts(c, rows, parts, part);
};
const auto on_cuda = [](const KernelContext& c, int64_t rows, int64_t parts, auto part) {
  join_parts_cuda(c, rows, parts, part);
};

}  // namespace

void register_shape_ops(OpRegistry& registry) {
  OpDef reshape = op_definition<ReshapeAttributes>("reshape");
  reshape.infer = &infer_reshape;
  reshape.gradient = &gradient_reshape;
  reshape.is_view = true;
  registry.add(std::move(reshape));

  OpDef concat = op_definition<ConcatAttributes>("concat");
  concat.infer = &infer_concat;
  concat.gradient = &gradient_concat;
  concat.cpu = {{"copy_parts", [](const KernelContext& c) { concat_parts(c, on_cpu); }}};
  concat.cuda = {{"copy_parts", [](const KernelContext& c) { concat_parts(c, on_cuda); }}};
  concat.bf16_inputs = kAll, concat.bf16_outputs = kFirst;
  registry.add(std::move(concat));

  OpDef slice = op_definition<SliceAttributes>("slice");
  slice.infer = &infer_slice;
  slice.gradient = &gradient_slice;
  slice.cpu = {{"copy_parts", [](const KernelContext& c) { slice_parts(c, on_cpu); }}};
  slice.cuda = {{"copy_parts", [](const KernelContext& c) { slice_parts(c, on_cuda); }}};
  slice.bf16_inputs = slice.bf16_outputs = kFirst;
  registry.add(std::move(slice));

  OpDef pad = op_definition<PadAttributes>("pad");
  pad.infer = &infer_pad;
  pad.gradient = &gradient_pad;
  pad.cpu = {{"copy_parts", [](const KernelContext& c) { pad_parts(c, on_cpu); }}};
  pad.cuda = {{"copy_parts", [](const KernelContext& c) { pad_parts(c, on_cuda); }}};
  pad.bf16_inputs = pad.bf16_outputs = kFirst;
  registry.add(std::move(pad));
}

}  // namespace sfr
