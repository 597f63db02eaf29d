#pragma once

#include <algorithm>
#include <cstddef>

#include <cuda_runtime.h>

#include <blip/backend/cuda/engine.cuh>
#include <blip/backend/cuda/group.hpp>
#include <blip/backend/cuda/status.cuh>

namespace blip::cuda {

inline constexpr int warp_size = 32;

/// The threads of a warp as a group (see `HostGroup` for what each member means).
struct WarpGroup {
    static constexpr unsigned everyone = 0xFFFFFFFFu;

    __device__ int rank() const { return static_cast<int>(threadIdx.x) % warp_size; }
    __device__ int size() const { return warp_size; }
    __device__ int columns() const { return warp_size; }
    __device__ void sync() const { __syncwarp(everyone); }

    // Butterflies add the same pairs in every thread, so all threads hold the same bits.
    template <class T>
    __device__ T sum(T x) const {
        for (int step = warp_size / 2; step > 0; step /= 2)
            x += __shfl_xor_sync(everyone, x, step);
        return x;
    }
    template <class T>
    __device__ T max(T x) const {
        for (int step = warp_size / 2; step > 0; step /= 2)
            x = larger(x, __shfl_xor_sync(everyone, x, step));
        return x;
    }
    template <class T>
    __device__ T from(T x, int r) const {
        return __shfl_sync(everyone, x, r);
    }
    template <class T>
    __device__ T column_sum(T x) const {
        return x;
    }
};

/// The `Threads` threads of a block as a group (see `HostGroup`).
template <int Threads>
struct BlockGroup {
    static_assert(Threads % warp_size == 0 && Threads <= 1024);
    static constexpr int warps = Threads / warp_size;

    __device__ int rank() const { return static_cast<int>(threadIdx.x); }
    __device__ int size() const { return Threads; }
    __device__ int columns() const { return warp_size; }
    __device__ void sync() const { __syncthreads(); }

    template <class T>
    __device__ T sum(T x) const {
        return reduce(WarpGroup{}.sum(x), [](T a, T b) { return a + b; });
    }
    template <class T>
    __device__ T max(T x) const {
        return reduce(WarpGroup{}.max(x), [](T a, T b) { return larger(a, b); });
    }
    template <class T>
    __device__ T from(T x, int r) const {
        __shared__ T shared;
        if (rank() == r)
            shared = x;
        __syncthreads();
        T const result = shared;
        __syncthreads();
        return result;
    }
    template <class T>
    __device__ T column_sum(T x) const {
        __shared__ T shared[Threads];
        shared[rank()] = x;
        __syncthreads();
        T result = shared[rank() % warp_size];
        for (int w = 1; w < warps; ++w)
            result += shared[w * warp_size + rank() % warp_size];
        __syncthreads();
        return result;
    }

private:
    /// The warps' results put together by every thread in the same order.
    template <class T, class F>
    __device__ T reduce(T x, F f) const {
        __shared__ T shared[warps];
        if (rank() % warp_size == 0)
            shared[rank() / warp_size] = x;
        __syncthreads();
        T result = shared[0];
        for (int w = 1; w < warps; ++w)
            result = f(result, shared[w]);
        // The next reduction writes to the same place.
        __syncthreads();
        return result;
    }
};

template <class Kernel>
__global__ void __launch_bounds__(256) run_elements(Kernel kernel, std::ptrdiff_t count) {
    std::ptrdiff_t const step = std::ptrdiff_t{gridDim.x} * blockDim.x;
    for (std::ptrdiff_t i = std::ptrdiff_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
         i += step)
        kernel(i);
}

template <int Threads, class Kernel>
__global__ void __launch_bounds__(Threads) run_blocks(Kernel kernel, std::ptrdiff_t tasks) {
    for (std::ptrdiff_t task = blockIdx.x; task < tasks; task += gridDim.x)
        kernel(BlockGroup<Threads>{}, task);
}

template <class Kernel>
__global__ void __launch_bounds__(128) run_warps(Kernel kernel, std::ptrdiff_t tasks) {
    std::ptrdiff_t const step = std::ptrdiff_t{gridDim.x} * blockDim.x / warp_size;
    for (std::ptrdiff_t task = (std::ptrdiff_t{blockIdx.x} * blockDim.x + threadIdx.x) / warp_size;
         task < tasks; task += step)
        kernel(WarpGroup{}, task);
}

/// Blocks for `tasks` at `per_block` each; more tasks than the limit go around.
inline unsigned blocks_for(std::ptrdiff_t tasks, std::ptrdiff_t per_block) {
    std::ptrdiff_t const limit = std::ptrdiff_t{1} << 20;
    return static_cast<unsigned>(std::min(limit, (tasks + per_block - 1) / per_block));
}

/// kernel(index) for every index below `count`.
template <class Kernel>
void launch_elements(Engine& engine, Kernel const& kernel, std::ptrdiff_t count) {
    if (count <= 0)
        return;
    run_elements<<<blocks_for(count, 256), 256, 0, engine.stream()>>>(kernel, count);
    check(cudaGetLastError(), "Starting a kernel");
}

/// kernel(group, task) for every task, a block of `Threads` each.
template <int Threads, class Kernel>
void launch_blocks(Engine& engine, Kernel const& kernel, std::ptrdiff_t tasks) {
    if (tasks <= 0)
        return;
    run_blocks<Threads><<<blocks_for(tasks, 1), Threads, 0, engine.stream()>>>(kernel, tasks);
    check(cudaGetLastError(), "Starting a kernel");
}

/// kernel(group, task) for every task, a warp each.
template <class Kernel>
void launch_warps(Engine& engine, Kernel const& kernel, std::ptrdiff_t tasks) {
    if (tasks <= 0)
        return;
    run_warps<<<blocks_for(tasks, 4), 128, 0, engine.stream()>>>(kernel, tasks);
    check(cudaGetLastError(), "Starting a kernel");
}

} // namespace blip::cuda
