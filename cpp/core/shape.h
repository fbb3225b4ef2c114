// Shape of a tensor: up to six extents, outermost first. Volumes are N, D, H, W, C; canvases N, H, W, C;
// tokens B, T, C. Everything is contiguous; the last axis is the fastest.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "core/error.h"

namespace sfr {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) { assign(extents.begin(), extents.end()); }
  explicit Shape(const std::vector<int64_t>& extents) { assign(extents.begin(), extents.end()); }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[static_cast<size_t>(axis)]; }
  int64_t back() const { return rank_ == 0 ? 1 : extents_[static_cast<size_t>(rank_ - 1)]; }
  void set(int axis, int64_t extent) { extents_[static_cast<size_t>(axis)] = extent; }

  /// Number of elements (1 for a scalar).
  int64_t count() const { return count(0, rank_); }
  /// Number of elements spanned by axes [first, last).
  int64_t count(int first, int last) const {
    int64_t n = 1;
    for (int i = first; i < last; ++i) n *= (*this)[i];
    return n;
  }

  std::vector<int64_t> extents() const { return {extents_.begin(), extents_.begin() + rank_}; }
  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (int i = 0; i < rank_; ++i)
      if ((*this)[i] != other[i]) return false;
    return true;
  }
  bool operator!=(const Shape& other) const { return !(*this == other); }

  std::string text() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
    return s + "]";
  }

 private:
  template <class It>
  void assign(It begin, It end) {
    for (It it = begin; it != end; ++it) {
      if (rank_ == kMaxRank) throw Error(ErrorCode::shape, "shape: expected at most 6 axes, received more");
      if (*it < 0)
        throw Error(ErrorCode::shape, "shape: expected extents >= 0, received " + std::to_string(*it));
      extents_[static_cast<size_t>(rank_++)] = *it;
    }
  }

  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace sfr
