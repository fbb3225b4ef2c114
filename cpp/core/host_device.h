#pragma once

/// Marks functions that CUDA kernels call as well as the host.
#if defined(__CUDACC__)
#define SFR_HOST_DEVICE __host__ __device__
#else
#define SFR_HOST_DEVICE
#endif
