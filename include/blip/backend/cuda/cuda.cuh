#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <blip/backend/backend.hpp>
#include <blip/backend/cuda/engine.cuh>
#include <blip/backend/cuda/launch.cuh>
#include <blip/backend/cuda/memory.cuh>
#include <blip/backend/cuda/status.cuh>
#include <blip/backend/cuda/verbs.hpp>

namespace blip {

/// The backend of NVIDIA GPUs; T is what activations are kept in.
template <class T>
struct Cuda;

/// Float32 throughout: products by cuBLAS without TF32, everything else by the kernels of this
/// folder. Compiled by nvcc (-std=c++20 --expt-relaxed-constexpr), linked with cuBLAS.
///
/// The same call on the same device gives the same bits every time: no kernel uses atomics. Of a
/// batch giving bit for bit what its items give alone, this backend promises all but products:
/// cuBLAS picks an algorithm by the number of rows, and algorithms add up in different orders.
///
/// Verbs return when their work is queued on the engine's stream. `upload`, `download`, `pack` and
/// `unpack` wait until done, so a model loaded through one engine may be used through others.
/// Errors of a kernel show at the next call that waits. Everything throws DeviceError.
template <>
struct Cuda<float> : cuda::Verbs<Cuda<float>, float, cuda::Engine> {
    using scalar = float;
    using gradient = Cuda<float>;
    using Engine = cuda::Engine;
    using Memory = cuda::Memory;

    /// On the device that is current in the calling thread.
    static Memory allocate(std::size_t bytes) { return Memory(bytes); }

    template <class To, class From>
    static void upload(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        if constexpr (std::is_same_v<To, From>) {
            copy(engine, to, from, n);
            engine.wait();
        } else {
            std::vector<To> part;
            for (std::ptrdiff_t first = 0; first < n; first += staged) {
                part.assign(from + first, from + std::min(n, first + staged));
                upload(engine, to + first, static_cast<To const*>(part.data()),
                       static_cast<std::ptrdiff_t>(part.size()));
            }
        }
    }

    template <class To, class From>
    static void download(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        if constexpr (std::is_same_v<To, From>) {
            copy(engine, to, from, n);
            engine.wait();
        } else {
            std::vector<From> part;
            for (std::ptrdiff_t first = 0; first < n; first += staged) {
                part.resize(static_cast<std::size_t>(std::min(staged, n - first)));
                download(engine, part.data(), from + first,
                         static_cast<std::ptrdiff_t>(part.size()));
                std::transform(part.begin(), part.end(), to + first,
                               [](From x) { return static_cast<To>(x); });
            }
        }
    }

    template <class X>
    static void zero(Engine& engine, X* x, std::ptrdiff_t n) {
        if (n > 0)
            cuda::check(cudaMemsetAsync(x, 0, bytes<X>(n), engine.stream()), "cudaMemsetAsync");
    }

    template <class X>
    static void copy(Engine& engine, X* to, X const* from, std::ptrdiff_t n) {
        if (n > 0)
            cuda::check(cudaMemcpyAsync(to, from, bytes<X>(n), cudaMemcpyDefault, engine.stream()),
                        "cudaMemcpyAsync");
    }

    /// Both layouts are row-major here.
    static void pack(Engine& engine, float const* row_major, WeightView<Cuda> w) {
        copy(engine, w.data, row_major, stored_size(w));
        engine.wait();
    }
    static void unpack(Engine& engine, WeightView<Cuda> w, float* row_major) {
        copy(engine, row_major, static_cast<float const*>(w.data), stored_size(w));
        engine.wait();
    }

    template <class Kernel>
    static void elements(Engine& engine, Kernel const& kernel, std::ptrdiff_t count) {
        cuda::launch_elements(engine, kernel, count);
    }
    template <class Kernel>
    static void rows(Engine& engine, Kernel const& kernel, std::ptrdiff_t tasks) {
        cuda::launch_blocks<256>(engine, kernel, tasks);
    }
    template <class Kernel>
    static void heads(Engine& engine, Kernel const& kernel, std::ptrdiff_t tasks) {
        cuda::launch_warps(engine, kernel, tasks);
    }
    template <class Kernel>
    static void column_tiles(Engine& engine, Kernel const& kernel, int columns) {
        cuda::launch_blocks<1024>(
            engine, kernel, (std::ptrdiff_t{columns} + cuda::warp_size - 1) / cuda::warp_size);
    }

    static void multiply(Engine& engine, cuda::Product<float> const& p) {
        auto const operation = [](cuda::Operand<float> const& x) {
            return x.transpose == cuda::Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
        };
        float const one = 1;
        cuda::check(cublasSgemm(engine.blas(), operation(p.a), operation(p.b), p.rows, p.columns,
                                p.inner, &one, p.a.data, p.a.stride, p.b.data, p.b.stride, &p.keep,
                                p.c, p.c_stride),
                    "cublasSgemm");
    }

private:
    /// Numbers converted at a time: bounds the host memory of uploads and downloads.
    static constexpr std::ptrdiff_t staged = std::ptrdiff_t{1} << 20;

    template <class X>
    static std::size_t bytes(std::ptrdiff_t n) {
        return static_cast<std::size_t>(n) * sizeof(X);
    }
};

} // namespace blip
