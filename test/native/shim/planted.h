#pragma once

namespace sfr::test {

/// Of all planted kernels: x and y [512].
struct PlantedArgs {
  float *x, *y;
};

}  // namespace sfr::test
