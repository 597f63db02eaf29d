#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace blip {

/// Memory of one call: taken in order, released in one go back to a mark. Views into it are never
/// freed one by one. Grows by chunks, so a taken pointer stays valid until its mark is released.
template <class B>
class Arena {
public:
    /// A point to release back to.
    struct Mark {
        std::size_t chunk = 0;
        std::size_t used = 0;
    };

    /// `chunk_bytes`: least size of the chunks it grows by.
    explicit Arena(std::size_t chunk_bytes = std::size_t{1} << 22) : chunk_bytes_(chunk_bytes) {}

    /// Room for `count` values of T, aligned to 64 bytes, contents unspecified. Throws
    /// std::bad_alloc or DeviceError when memory is exhausted.
    template <class T>
    T* take(std::ptrdiff_t count) {
        std::size_t const bytes = (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
        while (current_ < chunks_.size() && used_ + bytes > chunks_[current_].bytes) {
            ++current_;
            used_ = 0;
        }
        if (current_ == chunks_.size()) {
            // Doubling keeps the number of chunks small whatever the model's size.
            std::size_t const size = std::max({bytes, chunk_bytes_, reserved_bytes() / 2});
            chunks_.push_back({B::allocate(size), size});
            used_ = 0;
        }
        auto* data =
            reinterpret_cast<T*>(static_cast<std::byte*>(chunks_[current_].memory.data()) + used_);
        used_ += bytes;
        peak_ = std::max(peak_, in_use_before(current_) + used_);
        return data;
    }

    Mark mark() const { return {current_, used_}; }

    /// Everything taken since `mark` may be reused. Debug builds overwrite it on backends that can
    /// (`B::poison`), so that a view used too late shows at once.
    void release(Mark mark) {
#ifndef NDEBUG
        if constexpr (requires { B::poison(nullptr, std::size_t{}); })
            for (std::size_t i = mark.chunk; i <= current_ && i < chunks_.size(); ++i) {
                std::size_t const from = i == mark.chunk ? mark.used : 0;
                std::size_t const to = i == current_ ? used_ : chunks_[i].bytes;
                if (to > from)
                    B::poison(static_cast<std::byte*>(chunks_[i].memory.data()) + from, to - from);
            }
#endif
        current_ = mark.chunk;
        used_ = mark.used;
    }

    /// Gives all memory back. No view may be in use.
    void clear() {
        chunks_.clear();
        current_ = used_ = 0;
    }

    std::size_t reserved_bytes() const {
        return in_use_before(chunks_.size());
    }
    std::size_t peak_bytes() const {
        return peak_;
    }

private:
    struct Chunk {
        typename B::Memory memory;
        std::size_t bytes;
    };

    std::size_t in_use_before(std::size_t chunk) const {
        std::size_t sum = 0;
        for (std::size_t i = 0; i < chunk; ++i)
            sum += chunks_[i].bytes;
        return sum;
    }

    std::vector<Chunk> chunks_;
    std::size_t current_ = 0;
    std::size_t used_ = 0;
    std::size_t peak_ = 0;
    std::size_t chunk_bytes_;
};

/// Releases what was taken during its lifetime.
template <class B>
class Scope {
public:
    explicit Scope(Arena<B>& arena) : arena_(arena), mark_(arena.mark()) {}
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;
    ~Scope() { arena_.release(mark_); }

private:
    Arena<B>& arena_;
    typename Arena<B>::Mark mark_;
};

} // namespace blip
