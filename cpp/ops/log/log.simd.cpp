#include "ops/log/log.h"

#include "math/element_loops.h"

namespace sfr::SFR_LEVEL {

void exp_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return vexp(v); });
}

void log_row(const float* x, float* y, int64_t count) {
  unary_loop(x, y, count, [](vf v) { return vlog(v); });
}

}  // namespace sfr::SFR_LEVEL
