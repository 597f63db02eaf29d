#pragma once

#include <barrier>
#include <cstddef>
#include <thread>
#include <vector>

#include <blip/backend/cuda/group.hpp>
#include <blip/backend/cuda/verbs.hpp>
#include <blip/backend/reference/reference.hpp>

namespace blip::test {

/// What the threads of a simulated group share.
struct Meeting {
    explicit Meeting(int threads) : arrive(threads), slots(static_cast<std::size_t>(threads)) {}

    std::barrier<> arrive;
    std::vector<double> slots; // wide enough for every value that kernels exchange
};

/// A group of real threads that meet at a barrier: shows races and wrong ranks without a GPU.
struct ThreadGroup {
    Meeting* meeting;
    int thread;

    int rank() const { return thread; }
    int size() const { return static_cast<int>(meeting->slots.size()); }
    int columns() const { return 2; }
    void sync() const { meeting->arrive.arrive_and_wait(); }

    template <class T>
    T sum(T x) const {
        return combine(x, 1, [](T a, T b) { return static_cast<T>(a + b); });
    }
    template <class T>
    T max(T x) const {
        return combine(x, 1, [](T a, T b) { return cuda::larger(a, b); });
    }
    template <class T>
    T column_sum(T x) const {
        return combine(x, columns(), [](T a, T b) { return static_cast<T>(a + b); });
    }
    template <class T>
    T from(T x, int r) const {
        publish(x);
        T const result = slot<T>(r);
        sync();
        return result;
    }

private:
    template <class T>
    void publish(T x) const {
        meeting->slots[static_cast<std::size_t>(thread)] = static_cast<double>(x);
        sync();
    }
    template <class T>
    T slot(int r) const {
        return static_cast<T>(meeting->slots[static_cast<std::size_t>(r)]);
    }
    template <class T, class F>
    T combine(T x, int step, F f) const {
        publish(x);
        T result = slot<T>(thread % step);
        for (int r = thread % step + step; r < size(); r += step)
            result = f(result, slot<T>(r));
        sync();
        return result;
    }
};

/// The CUDA backend's verbs and kernels on the host, groups having `Threads` threads; products are
/// plain loops over the arguments that BLAS would be given.
template <class T, int Threads>
struct Emulated : cuda::Verbs<Emulated<T, Threads>, T, typename Reference<T>::Engine> {
    using scalar = T;
    using gradient = Emulated;
    using Engine = typename Reference<T>::Engine;
    using Memory = typename Reference<T>::Memory;

    static Memory allocate(std::size_t bytes) { return Memory(bytes); }

    template <class To, class From>
    static void upload(Engine&, To* to, From const* from, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            to[i] = static_cast<To>(from[i]);
    }
    template <class To, class From>
    static void download(Engine& engine, To* to, From const* from, std::ptrdiff_t n) {
        upload(engine, to, from, n);
    }
    static void zero(Engine&, T* x, std::ptrdiff_t n) {
        for (std::ptrdiff_t i = 0; i < n; ++i)
            x[i] = T(0);
    }
    static void copy(Engine& engine, T* to, T const* from, std::ptrdiff_t n) {
        upload(engine, to, from, n);
    }
    static void pack(Engine& engine, T const* row_major, WeightView<Emulated> w) {
        copy(engine, w.data, row_major, Emulated::stored_size(w));
    }
    static void unpack(Engine& engine, WeightView<Emulated> w, T* row_major) {
        copy(engine, row_major, w.data, Emulated::stored_size(w));
    }

    template <class Kernel>
    static void elements(Engine&, Kernel const& kernel, std::ptrdiff_t count) {
        // Backwards: elements must not depend on each other.
        for (std::ptrdiff_t i = count; i-- > 0;)
            kernel(i);
    }

    template <class Kernel>
    static void rows(Engine&, Kernel const& kernel, std::ptrdiff_t tasks) {
        if constexpr (Threads == 1) {
            for (std::ptrdiff_t task = 0; task < tasks; ++task)
                kernel(cuda::HostGroup{}, task);
        } else {
            // Two groups run side by side, as blocks of a grid do.
            constexpr int groups = 2;
            std::vector<std::jthread> threads;
            Meeting meetings[groups]{Meeting(Threads), Meeting(Threads)};
            for (int g = 0; g < groups; ++g)
                for (int t = 0; t < Threads; ++t)
                    threads.emplace_back([&, g, t] {
                        for (std::ptrdiff_t task = g; task < tasks; task += groups)
                            kernel(ThreadGroup{&meetings[g], t}, task);
                    });
            threads.clear();
        }
    }
    template <class Kernel>
    static void heads(Engine& engine, Kernel const& kernel, std::ptrdiff_t tasks) {
        rows(engine, kernel, tasks);
    }
    template <class Kernel>
    static void column_tiles(Engine& engine, Kernel const& kernel, int columns) {
        int const width = Threads == 1 ? 1 : 2;
        rows(engine, kernel, (columns + width - 1) / width);
    }

    static void multiply(Engine&, cuda::Product<T> const& p) {
        auto const at = [](cuda::Operand<T> const& x, std::ptrdiff_t r, std::ptrdiff_t c) {
            return x.transpose == cuda::Transpose::yes ? x.data[c + r * x.stride]
                                                       : x.data[r + c * x.stride];
        };
        for (int c = 0; c < p.columns; ++c)
            for (int r = 0; r < p.rows; ++r) {
                T sum = T(0);
                for (int i = 0; i < p.inner; ++i)
                    sum += at(p.a, r, i) * at(p.b, i, c);
                T& slot = p.c[r + std::ptrdiff_t{c} * p.c_stride];
                slot = p.keep == T(0) ? sum : sum + p.keep * slot;
            }
    }
};

} // namespace blip::test
