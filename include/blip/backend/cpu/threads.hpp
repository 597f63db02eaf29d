#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <blip/core/error.hpp>

namespace blip::cpu {

namespace detail {

/// Lets a hyper-thread sibling or the hypervisor have the core for a moment.
inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

} // namespace detail

/// Threads a pool takes when not told: BLIP_THREADS where set, else what the hardware has.
/// \throws ArgumentError when BLIP_THREADS is not a number from 1 to 1024.
inline std::size_t default_threads() {
    if (char const* const text = std::getenv("BLIP_THREADS"); text != nullptr && *text != '\0') {
        char* end = nullptr;
        long const count = std::strtol(text, &end, 10);
        if (*end != '\0' || count < 1 || count > 1024)
            throw ArgumentError(
                join("BLIP_THREADS is '", text, "', expected a number of threads from 1 to 1024"));
        return static_cast<std::size_t>(count);
    }
    unsigned const count = std::thread::hardware_concurrency();
    return count == 0 ? 1 : count;
}

/// Worker threads that run the parts of one loop at a time together with the calling thread. Any
/// number of application threads may use one pool: whoever finds it busy, and every loop started
/// inside a loop, runs its parts by itself.
class ThreadPool {
public:
    /// `count` threads including the caller; 0 means `default_threads()`.
    explicit ThreadPool(std::size_t count = 0) {
        if (count == 0)
            count = default_threads();
        if (count > 1024)
            throw ArgumentError(join("asked for ", count, " threads, expected at most 1024"));
        workers_.reserve(count - 1);
        try {
            for (std::size_t i = 1; i < count; ++i)
                workers_.emplace_back([this] { work(); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ThreadPool(ThreadPool const&) = delete;
    ThreadPool& operator=(ThreadPool const&) = delete;
    ~ThreadPool() { stop(); }

    /// Threads that can take part, the caller included.
    std::size_t size() const { return workers_.size() + 1; }

    /// Whether a loop is under way; another may begin or end meanwhile, so this is a hint.
    bool busy() const { return busy_.load(std::memory_order_relaxed); }

    /// Calls function(0) .. function(count - 1), each once, in any order and on any thread; returns
    /// when all have returned. The first exception is thrown here, parts not begun are dropped.
    template <class Function>
    void parallel_for(std::size_t count, Function&& function) {
        if (count < 2 || workers_.empty() || busy_.exchange(true, std::memory_order_acquire)) {
            for (std::size_t i = 0; i < count; ++i)
                function(i);
            return;
        }
        using Body = std::remove_reference_t<Function>;
        call_ = [](void const* body, std::size_t i) {
            (*static_cast<Body*>(const_cast<void*>(body)))(i);
        };
        body_ = &function;
        count_ = count;
        next_.store(0, std::memory_order_relaxed);
        failed_.store(false, std::memory_order_relaxed);
        // Opening publishes the fields above to the workers that join.
        state_.fetch_add(one_generation + open, std::memory_order_release);
        state_.notify_all();
        run_parts();
        // Closed, no worker can join any more: one that the system has not woken yet is not
        // waited for.
        std::uint32_t state = state_.fetch_sub(open, std::memory_order_acq_rel) - open;
        for (unsigned spins = 0; (state & joined) != 0; ++spins) {
            if (spins < spin_limit)
                detail::pause();
            else
                state_.wait(state, std::memory_order_acquire);
            state = state_.load(std::memory_order_acquire);
        }
        std::exception_ptr const error = std::move(error_);
        error_ = nullptr;
        busy_.store(false, std::memory_order_release);
        if (error)
            std::rethrow_exception(error);
    }

private:
    // state_: joined workers in the low bits, whether a loop is open, whether to end, and above
    // them the number of the loop, so that a worker joins each loop at most once.
    static constexpr std::uint32_t joined = 0x7FF;
    static constexpr std::uint32_t open = 0x800;
    static constexpr std::uint32_t ending = 0x1000;
    static constexpr std::uint32_t one_generation = 0x2000;
    static constexpr unsigned spin_limit = 1500;

    void run_parts() {
        try {
            for (;;) {
                std::size_t const i = next_.fetch_add(1, std::memory_order_relaxed);
                if (i >= count_ || failed_.load(std::memory_order_relaxed))
                    return;
                call_(body_, i);
            }
        } catch (...) {
            if (!failed_.exchange(true, std::memory_order_relaxed))
                error_ = std::current_exception();
        }
    }

    void work() {
        std::uint32_t last = 0;
        unsigned spins = 0;
        std::uint32_t state = state_.load(std::memory_order_acquire);
        for (;;) {
            if ((state & ending) != 0)
                return;
            if ((state & open) != 0 && state / one_generation != last) {
                if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                                  std::memory_order_acquire))
                    continue;
                last = state / one_generation;
                run_parts();
                std::uint32_t const left = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
                if ((left & joined) == 0 && (left & open) == 0)
                    state_.notify_all();
                spins = 0;
            } else if (spins < spin_limit) {
                // The next loop of a forward pass usually follows within microseconds.
                ++spins;
                detail::pause();
            } else {
                state_.wait(state, std::memory_order_acquire);
                spins = 0;
            }
            state = state_.load(std::memory_order_acquire);
        }
    }

    void stop() {
        state_.fetch_or(ending, std::memory_order_release);
        state_.notify_all();
        for (std::thread& worker : workers_)
            worker.join();
    }

    std::vector<std::thread> workers_;
    alignas(64) std::atomic<std::uint32_t> state_{0};
    alignas(64) std::atomic<std::size_t> next_{0};
    alignas(64) std::atomic<bool> busy_{false};
    std::atomic<bool> failed_{false};
    void (*call_)(void const*, std::size_t) = nullptr;
    void const* body_ = nullptr;
    std::size_t count_ = 0;
    std::exception_ptr error_;
};

} // namespace blip::cpu
