#pragma once

#include <cstddef>
#include <utility>

#include <cuda_runtime_api.h>

#include <blip/backend/cuda/status.cuh>
#include <blip/core/error.hpp>

namespace blip::cuda {

/// Owns bytes of the device that is current when it is made. Freeing waits until the device has
/// finished what uses them.
class Memory {
public:
    Memory() = default;

    /// Aligned to 256 bytes, contents unspecified. Throws DeviceError.
    explicit Memory(std::size_t bytes) {
        if (bytes == 0)
            return;
        cudaError_t const status = cudaMalloc(&data_, bytes);
        if (status == cudaErrorMemoryAllocation) {
            (void)cudaGetLastError();
            std::size_t free = 0, total = 0;
            (void)cudaMemGetInfo(&free, &total);
            throw DeviceError(join("cudaMalloc of ", bytes, " bytes failed: ", free, " of ", total,
                                   " bytes of device memory are free. ", detail::advice(status)));
        }
        check(status, "cudaMalloc");
    }

    Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
    Memory& operator=(Memory&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    // A destructor cannot report; a broken device shows at the next call.
    ~Memory() { (void)cudaFree(data_); }

    void* data() { return data_; }
    void const* data() const { return data_; }

private:
    void* data_ = nullptr;
};

} // namespace blip::cuda
