#pragma once

#include <cstddef>
#include <string>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <blip/core/error.hpp>

namespace blip::cuda {

namespace detail {

/// What a person can do about a failed call.
inline std::string advice(cudaError_t status) {
    switch (status) {
    case cudaErrorNoDevice:
        return "The CUDA backend needs an NVIDIA GPU and none is visible: check nvidia-smi and "
               "CUDA_VISIBLE_DEVICES, or use the Cpu backend.";
    case cudaErrorInsufficientDriver: {
        int driver = 0, runtime = 0;
        (void)cudaDriverGetVersion(&driver);
        (void)cudaRuntimeGetVersion(&runtime);
        if (driver == 0)
            return "The CUDA backend needs an NVIDIA GPU and its driver; no driver is installed or "
                   "visible here. Use the Cpu backend.";
        return join("The NVIDIA driver serves CUDA ", driver / 1000, '.', driver % 1000 / 10,
                    "; this program needs ", runtime / 1000, '.', runtime % 1000 / 10,
                    ". Update the driver, or use the Cpu backend.");
    }
    case cudaErrorInvalidDevice: {
        int count = 0;
        (void)cudaGetDeviceCount(&count);
        return join("Devices are numbered from 0; visible here: ", count, '.');
    }
    case cudaErrorMemoryAllocation:
        return "Device memory is exhausted: use smaller batches, or end other programs on the "
               "device.";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
        return "The program holds no code for this GPU: build it for its compute capability "
               "(CMAKE_CUDA_ARCHITECTURES).";
    default:
        return "An earlier kernel may be the cause: compute-sanitizer names it. The device can be "
               "used again after the process has ended.";
    }
}

} // namespace detail

/// Throws DeviceError where a call of the CUDA runtime failed. `call` names it.
inline void check(cudaError_t status, char const* call) {
    if (status == cudaSuccess)
        return;
    // Read once, so that the next call does not report this failure again.
    (void)cudaGetLastError();
    throw DeviceError(join(call, " failed: ", cudaGetErrorString(status), " (",
                           cudaGetErrorName(status), "). ", detail::advice(status)));
}

/// Throws DeviceError where a call of cuBLAS failed. `call` names it.
inline void check(cublasStatus_t status, char const* call) {
    if (status == CUBLAS_STATUS_SUCCESS)
        return;
    char const* const hint =
        status == CUBLAS_STATUS_ALLOC_FAILED || status == CUBLAS_STATUS_NOT_INITIALIZED
            ? "Device memory may be exhausted, or the installed cuBLAS may not "
              "fit the driver."
            : "CUBLAS_LOGINFO_DBG=1 makes cuBLAS print its calls.";
    throw DeviceError(join(call, " failed: ", cublasGetStatusString(status), " (",
                           cublasGetStatusName(status), "). ", hint));
}

/// How many devices this process can see; 0 also where there is no driver.
inline int device_count() {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        (void)cudaGetLastError();
        return 0;
    }
    return count;
}

} // namespace blip::cuda
