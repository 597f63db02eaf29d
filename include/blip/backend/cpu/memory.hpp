#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace blip::cpu {

/// Bytes between the starts of cache lines; every buffer and every packed panel starts on one.
inline constexpr std::size_t cache_line = 64;

namespace detail {

inline constexpr std::size_t huge_page = std::size_t{2} << 20;

struct Free {
    void operator()(void* p) const { std::free(p); }
};

} // namespace detail

/// An owned run of floats on a cache-line boundary, not initialised.
using Buffer = std::unique_ptr<float[], detail::Free>;

/// Memory for `count` floats. Large runs ask for huge pages: streaming through weights of hundreds
/// of megabytes otherwise spends its time in the translation of addresses.
/// \throws std::bad_alloc
inline Buffer allocate(std::size_t count) {
    if (count > static_cast<std::size_t>(-1) / sizeof(float) - detail::huge_page)
        throw std::bad_alloc();
    std::size_t const bytes = count * sizeof(float);
    std::size_t const granule = bytes >= detail::huge_page ? detail::huge_page : cache_line;
    std::size_t const rounded = (bytes / granule + 1) * granule;
    void* const p = std::aligned_alloc(granule, rounded);
    if (p == nullptr)
        throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Advice only: where the system refuses, ordinary pages work too.
    if (granule == detail::huge_page)
        (void)madvise(p, rounded, MADV_HUGEPAGE);
#endif
    return Buffer(static_cast<float*>(p));
}

/// Scratch memory that kernels borrow and give back, so that steady work allocates nothing.
class Scratch {
public:
    /// A borrowed buffer; goes back to its pool at the end of its scope.
    class Loan {
    public:
        Loan(Scratch& owner, Buffer buffer, std::size_t capacity)
            : owner_(&owner), buffer_(std::move(buffer)), capacity_(capacity) {}
        Loan(Loan&& other) noexcept = default;
        Loan& operator=(Loan&&) = delete;
        ~Loan() {
            if (buffer_)
                owner_->give_back(std::move(buffer_), capacity_);
        }
        float* data() const { return buffer_.get(); }

    private:
        Scratch* owner_;
        Buffer buffer_;
        std::size_t capacity_;
    };

    /// At least `count` floats with unspecified content.
    Loan borrow(std::size_t count) {
        {
            std::lock_guard const lock(mutex_);
            std::size_t best = free_.size();
            for (std::size_t i = 0; i < free_.size(); ++i)
                if (free_[i].second >= count &&
                    (best == free_.size() || free_[i].second < free_[best].second))
                    best = i;
            if (best < free_.size()) {
                auto [buffer, capacity] = std::move(free_[best]);
                free_[best] = std::move(free_.back());
                free_.pop_back();
                return {*this, std::move(buffer), capacity};
            }
            // Buffers too small for today's work make room for one that fits.
            if (!free_.empty())
                free_.pop_back();
        }
        return {*this, allocate(count), count};
    }

    /// Releases everything that is not lent.
    void clear() {
        std::lock_guard const lock(mutex_);
        free_.clear();
    }

private:
    void give_back(Buffer buffer, std::size_t capacity) {
        try {
            std::lock_guard const lock(mutex_);
            free_.emplace_back(std::move(buffer), capacity);
        } catch (...) {
            // Without room in the list the buffer is simply freed.
        }
    }

    std::mutex mutex_;
    std::vector<std::pair<Buffer, std::size_t>> free_;
};

} // namespace blip::cpu
