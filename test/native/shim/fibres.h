// Runs the blocks of a launch one after the other on the calling thread.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace sfr::shim {

/// Calls body(args) once for each thread of each block. Returns "" or what was wrong, after the first fault.
std::string run_blocks(const uint32_t grid[3], uint32_t block, void (*body)(const void*), const void* args,
                       size_t args_bytes);

/// Ends the launch from within a kernel; `what` is a verb phrase. Does not return.
[[noreturn]] void stop_kernel(const std::string& what);

}  // namespace sfr::shim
