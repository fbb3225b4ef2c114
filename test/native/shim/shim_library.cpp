// The launch shim as a library in the place of libsfr_cuda, for tests of the commands.
#include "native/shim/shim_device.h"

extern "C" __attribute__((visibility("default"))) const SfrDeviceTable* sfr_device_table(void) {
  return &sfr::shim::shim_table();
}
