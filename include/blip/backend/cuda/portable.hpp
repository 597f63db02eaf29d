#pragma once

/// Marks a function that runs on the host and, where CUDA compiles it, on the device.
#if defined(__CUDACC__)
#define BLIP_HOST_DEVICE __host__ __device__
#else
#define BLIP_HOST_DEVICE
#endif
