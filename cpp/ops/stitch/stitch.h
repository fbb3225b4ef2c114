// stitch: slices of volumes laid out as tiles on square canvases; unstitch: the exact inverse. Rows are
// copied.
//   stitch:   x [N, slices, sliceHeight, sliceWidth] or [.., K] -> y [N * canvases, S, S] or [.., K]; f32 or
//   u8 unstitch: y [N * canvases, S, S] or [.., K] -> x [N, slices, sliceHeight, sliceWidth] or [.., K]; f32
//   or u8
// Slice z lies on tile t = z + frontSlices: canvas t / (rows * cols), tile row r = t % (rows * cols) / cols,
// tile column c = t % cols; its pixel (y, x) is canvas pixel (origin_y + r * tile_height + y, origin_x + c *
// tile_width + x). Pixels that no slice covers get `fill` (images 0, labels 254). The numbers come
// from src/stitch/geometry.ts; equals Spread_bs_aug / Spread_bs_tensor of the SFR authors with its
// deviations. Gradients (f32): of stitch = unstitch; of unstitch = stitch with fill 0. Errors: shape when the
// slices do not fit the tiles, or a tile reaches over the canvas or its neighbour.
#pragma once
#include <cstdint>

#include "cuda/elements.h"
#include "math/levels.h"

namespace sfr {

/// Shared by both ops, which receive the same numbers.
struct StitchGeometryAttributes {
  int64_t canvas = 0;    // side S in pixels
  int64_t canvases = 1;  // per volume
  int64_t slices = 0;
  int64_t slice_height = 0, slice_width = 0;
  int64_t rows = 0, cols = 0;
  int64_t tile_height = 0, tile_width = 0;
  int64_t origin_y = 0, origin_x = 0;
  int64_t front_slices = 0;
  template <class V>
  void visit(V& v) {
    v("canvas", canvas);
    v("canvases", canvases);
    v("slices", slices);
    v("sliceHeight", slice_height);
    v("sliceWidth", slice_width);
    v("rows", rows);
    v("cols", cols);
    v("tileHeight", tile_height);
    v("tileWidth", tile_width);
    v("originY", origin_y);
    v("originX", origin_x);
    v("frontSlices", front_slices);
  }
};

struct StitchAttributes : StitchGeometryAttributes {
  double fill = 0;
  template <class V>
  void visit(V& v) {
    StitchGeometryAttributes::visit(v);
    v("fill", fill);
  }
};

/// Parameters of the kernels of stitch.cu: from x to y, `volumes` volumes of slices and their canvases or the
/// other way round; elements are f32 or u8.
struct StitchArgs {
  StitchGeometryAttributes geometry;
  Elements x;  // or bytes, in the kernels of u8
  Results y;
  int64_t volumes, channels;
  float fill;
};

/// Pieces of equal size, such as the rows of several slices that share a canvas line. All numbers are bytes.
struct PieceCopy {
  char* to;
  const char* from;
  int64_t count, bytes;
  int64_t to_step, from_step;  // from piece to piece
  /// A piece is too short for the processor to see the next rows coming: so far behind it memory is asked
  /// for, on the side of the slices; the other one is 0.
  int64_t to_ahead, from_ahead;
};

SFR_DECLARE_LEVELS(void copy_pieces(const PieceCopy& c))
/// Fills a line with the four bytes of `pattern`.
SFR_DECLARE_LEVELS(void fill_line(char* line, int64_t bytes, uint32_t pattern))

}  // namespace sfr
