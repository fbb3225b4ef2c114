// Labels that are no class. What an op makes of them stands in its contract.
#pragma once

namespace sfr {

constexpr int kGapLabel = 254, kIgnoredLabel = 255;

}  // namespace sfr
