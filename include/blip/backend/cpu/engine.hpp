#pragma once

#include <cstddef>
#include <memory>

#include <blip/backend/cpu/memory.hpp>
#include <blip/backend/cpu/threads.hpp>
#include <blip/core/error.hpp>

namespace blip::cpu {

/// \throws DeviceError when the running processor lacks instructions that this program was compiled
/// to use: without the check it would end with an illegal instruction somewhere in a kernel.
inline void require_processor() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    char const* missing = nullptr;
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f"))
        missing = "AVX-512";
#endif
#if defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2"))
        missing = "AVX2";
#endif
#if defined(__FMA__)
    if (!__builtin_cpu_supports("fma"))
        missing = "FMA";
#endif
#if defined(__BMI2__)
    if (!__builtin_cpu_supports("bmi2"))
        missing = "BMI2";
#endif
#if defined(__AVX512BW__)
    if (!__builtin_cpu_supports("avx512bw"))
        missing = "AVX-512 BW";
#endif
#if defined(__AVX512DQ__)
    if (!__builtin_cpu_supports("avx512dq"))
        missing = "AVX-512 DQ";
#endif
#if defined(__AVX512VL__)
    if (!__builtin_cpu_supports("avx512vl"))
        missing = "AVX-512 VL";
#endif
#if defined(__AVX512VBMI__)
    if (!__builtin_cpu_supports("avx512vbmi"))
        missing = "AVX-512 VBMI";
#endif
#if defined(__AVX512VBMI2__)
    if (!__builtin_cpu_supports("avx512vbmi2"))
        missing = "AVX-512 VBMI2";
#endif
#if defined(__AVX512VNNI__)
    if (!__builtin_cpu_supports("avx512vnni"))
        missing = "AVX-512 VNNI";
#endif
#if defined(__AVX512BITALG__)
    if (!__builtin_cpu_supports("avx512bitalg"))
        missing = "AVX-512 BITALG";
#endif
#if defined(__AVX512VPOPCNTDQ__)
    if (!__builtin_cpu_supports("avx512vpopcntdq"))
        missing = "AVX-512 VPOPCNTDQ";
#endif
    if (missing != nullptr)
        throw DeviceError(join("this program was compiled for processors with ", missing,
                               ", which this one lacks; compile it on this machine with "
                               "-march=native, or with -mavx2 -mfma, or without such options"));
#endif
}

/// Who computes on the host: threads and the memory they borrow. Copies share both, and any number
/// of callers may use one at the same time.
class Engine {
public:
    /// `threads` threads including the caller; 0 means BLIP_THREADS or what the hardware has.
    explicit Engine(std::size_t threads = 0) {
        require_processor();
        shared_ = std::make_shared<Shared>(threads);
    }

    std::size_t threads() const { return shared_->pool.size(); }
    ThreadPool& pool() { return shared_->pool; }
    /// Whether the threads are at work on a loop: one begun now would run in the calling thread.
    bool busy() const { return shared_->pool.busy(); }
    Scratch& scratch() { return shared_->scratch; }

    /// See ThreadPool::parallel_for.
    template <class Function>
    void parallel_for(std::size_t count, Function&& function) {
        shared_->pool.parallel_for(count, static_cast<Function&&>(function));
    }

    /// Splits [0, count) into contiguous runs of at least `grain` and calls function(begin, end).
    template <class Function>
    void parallel_ranges(std::size_t count, std::size_t grain, Function&& function) {
        std::size_t parts = grain == 0 ? count : (count + grain - 1) / grain;
        std::size_t const most = threads() == 1 ? 1 : threads() * 4;
        parts = parts < most ? parts : most;
        if (parts < 2) {
            if (count > 0)
                function(std::size_t{0}, count);
            return;
        }
        shared_->pool.parallel_for(parts, [&](std::size_t part) {
            function(count * part / parts, count * (part + 1) / parts);
        });
    }

private:
    struct Shared {
        explicit Shared(std::size_t threads) : pool(threads) {}
        ThreadPool pool;
        Scratch scratch;
    };
    std::shared_ptr<Shared> shared_;
};

} // namespace blip::cpu
