#pragma once

#include <memory>
#include <utility>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <blip/backend/cuda/status.cuh>

namespace blip::cuda {

/// One device, with a stream and a cuBLAS handle of its own that are made at first use, so an
/// engine may be declared where there is no GPU. Work of one engine is done in the order it was
/// started; other engines and the host see its results after `wait()` or a download. One engine
/// serves one caller at a time; a copy works on the same device for another caller.
///
/// The device is the one that is current in the calling thread (cudaSetDevice); using an engine
/// makes its device current again.
class Engine {
public:
    Engine() {
        if (cudaGetDevice(&device_) != cudaSuccess) {
            (void)cudaGetLastError();
            device_ = 0;
        }
    }

    /// Makes `device`, counted from 0, current in the calling thread. Throws DeviceError.
    explicit Engine(int device) : device_(device) { check(cudaSetDevice(device), "cudaSetDevice"); }

    Engine(Engine const& other) : device_(other.device_) {}
    Engine(Engine&&) noexcept = default;
    Engine& operator=(Engine other) noexcept {
        device_ = other.device_;
        resources_ = std::move(other.resources_);
        return *this;
    }
    ~Engine() = default;

    int device() const { return device_; }

    /// Each throws DeviceError where the device cannot be used.
    cudaStream_t stream() { return resources().stream; }
    cublasHandle_t blas() { return resources().blas; }

    /// Returns when all work started here is done; throws DeviceError where some of it failed.
    void wait() { check(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

private:
    struct Resources {
        cudaStream_t stream = nullptr;
        cublasHandle_t blas = nullptr;

        Resources() = default;
        Resources(Resources const&) = delete;
        Resources& operator=(Resources const&) = delete;
        ~Resources() {
            if (blas)
                (void)cublasDestroy(blas);
            if (stream)
                (void)cudaStreamDestroy(stream);
        }
    };

    Resources& resources() {
        int current = -1;
        check(cudaGetDevice(&current), "cudaGetDevice");
        if (current != device_)
            check(cudaSetDevice(device_), "cudaSetDevice");
        if (!resources_) {
            auto made = std::make_unique<Resources>();
            check(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking),
                  "cudaStreamCreateWithFlags");
            check(cublasCreate(&made->blas), "cublasCreate");
            check(cublasSetStream(made->blas, made->stream), "cublasSetStream");
            // Float32 stays float32: neither TF32 nor emulation from shorter formats.
            check(cublasSetMathMode(made->blas, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
            resources_ = std::move(made);
        }
        return *resources_;
    }

    int device_ = 0;
    std::unique_ptr<Resources> resources_;
};

} // namespace blip::cuda
