#pragma once
#include "device/device.h"

namespace sfr::shim {

/// The launch shim as a device: host memory, kernels on the CPU, two cards that share 1 GiB. What it
/// allocates is filled with NaN.
const SfrDeviceTable& shim_table();

/// Bytes that were allocated and not released, over all devices of the shim.
size_t bytes_allocated();

}  // namespace sfr::shim
