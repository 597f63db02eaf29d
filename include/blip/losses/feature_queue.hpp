#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <unordered_map>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/losses/contrastive.hpp>

namespace blip {

/// Key ids [batch + queue] in backend memory; the queries' are the first of them.
template <class B>
PositiveIds upload_positives(std::vector<int> const& keys, Context<B>& ctx) {
    auto const count = std::ssize(keys);
    int* const ids = ctx.arena.template take<int>(count);
    B::upload(ctx.engine, ids, keys.data(), count);
    return {ids, ids};
}

/// The id of queue columns that belong to no known picture.
inline constexpr std::int64_t unknown_picture = -100;

/// Momentum features of the last `Length` pictures and texts, the contrastive loss's further keys
/// (paper section 4.1; He et al. 2020): two rings [Width, Length] as checkpoints keep them, with
/// the id of the picture that each column came from and one pointer to the oldest column.
template <int Width, int Length, Backend B>
class FeatureQueue {
public:
    using scalar = typename B::scalar;
    using Engine = typename B::Engine;
    static constexpr int length = Length;
    static constexpr std::ptrdiff_t size = std::ptrdiff_t{Width} * Length;

    /// Columns are random unit vectors, which `key` names; they belong to no picture.
    FeatureQueue(Engine& engine, RandomKey key)
        : memory_(B::allocate(2 * static_cast<std::size_t>(size) * sizeof(scalar))),
          ids_(static_cast<std::size_t>(Length), unknown_picture) {
        fill(engine, image(), split(key, 0));
        fill(engine, text(), split(key, 1));
    }

    Matrix<B> image() const { return {data(), Width, Length, Length}; }
    Matrix<B> text() const { return {data() + size, Width, Length, Length}; }
    std::span<std::int64_t const> ids() const { return ids_; }
    int pointer() const { return static_cast<int>(pointer_[0]); }

    /// What a training checkpoint keeps: f(name, scalar*, count) for the columns, f(name,
    /// std::vector<std::int64_t>&) for ids and pointer. `require_valid` follows a change of them.
    template <class F>
    void for_each_state(F const& f) {
        f("queue.image", data(), size);
        f("queue.text", data() + size, size);
        f("queue.ids", ids_);
        f("queue.pointer", pointer_);
    }

    /// Throws ArgumentError when ids or pointer cannot be.
    void require_valid() const {
        if (pointer_.size() != 1)
            throw ArgumentError(
                join("feature queue: ", pointer_.size(), " pointers, expected one"));
        require_valid(std::ssize(ids_), pointer_[0]);
    }

    /// Ids and pointer as a checkpoint has them. Throws ArgumentError when they cannot be.
    void restore(std::span<std::int64_t const> ids, std::int64_t pointer) {
        require_valid(std::ssize(ids), pointer);
        ids_.assign(ids.begin(), ids.end());
        pointer_ = {pointer};
    }

    /// Throws ArgumentError unless the queue's length is a multiple of `count`, the number of
    /// pictures a step over all ranks.
    void require_room(int count) const {
        if (count < 1 || Length % count != 0)
            throw ArgumentError(join("feature queue: its length, ", Length,
                                     ", must be a multiple of the number of pictures a step, ",
                                     count, "; choose another batch size"));
    }

    /// Replaces the oldest columns by `features`, of all ranks in their order; `ids` are those of
    /// the pictures (empty: unknown). Throws ArgumentError unless the queue's length is a multiple
    /// of their number: a batch never wraps around. Where another batch size has left the pointer
    /// too near to the end, the ring begins anew, and the columns there stay for another round.
    void enqueue(Engine& engine, FeaturePair<Width, B> features,
                 std::span<std::int64_t const> ids = {}) {
        int const count = features.image.batch;
        if (count < 1 || features.text.batch != count || (!ids.empty() && std::ssize(ids) != count))
            throw ArgumentError(join("feature queue: ", count, " pictures, ", features.text.batch,
                                     " texts and ", ids.size(),
                                     " ids; expected equal numbers, at least 1"));
        require_room(count);
        if (pointer() + count > Length)
            pointer_ = {0};
        B::transpose(engine, matrix(features.image), columns(image(), count));
        B::transpose(engine, matrix(features.text), columns(text(), count));
        auto const first = ids_.begin() + pointer();
        if (ids.empty())
            std::fill_n(first, count, unknown_picture);
        else
            std::copy(ids.begin(), ids.end(), first);
        pointer_ = {(pointer() + count) % Length};
    }

private:
    scalar* data() const {
        // A view of the queue is as writable as the views of weights are.
        return static_cast<scalar*>(const_cast<void*>(memory_.data()));
    }
    Matrix<B> columns(Matrix<B> queue, int count) const {
        return {queue.data + pointer(), Width, count, Length};
    }

    static void require_valid(std::ptrdiff_t ids, std::int64_t pointer) {
        if (ids != Length || pointer < 0 || pointer >= Length)
            throw ArgumentError(join("feature queue: ", ids, " ids and pointer ", pointer,
                                     " for a queue of ", Length, " columns"));
    }

    static void fill(Engine& engine, Matrix<B> queue, RandomKey key) {
        std::vector<double> values(static_cast<std::size_t>(size));
        for (std::size_t i = 0; i < values.size(); ++i) {
            // Box and Muller's method; 1 - u lies in (0, 1], where the logarithm is finite.
            double const radius = std::sqrt(-2 * std::log(1 - random_uniform(key, 2 * i)));
            values[i] = radius * std::cos(2 * std::numbers::pi * random_uniform(key, 2 * i + 1));
        }
        for (std::size_t c = 0; c < Length; ++c) {
            double squares = 0;
            for (std::size_t r = 0; r < Width; ++r)
                squares += values[r * Length + c] * values[r * Length + c];
            for (std::size_t r = 0; r < Width; ++r)
                values[r * Length + c] /= std::sqrt(squares);
        }
        B::upload(engine, queue.data, values.data(), size);
    }

    typename B::Memory memory_;
    std::vector<std::int64_t> ids_;
    std::vector<std::int64_t> pointer_{0}; ///< one; a vector as checkpoints keep integers
};

/// Positives as the backend compares them: pictures of equal id, in the batch and in the queue
/// (retrieval fine-tuning). Ids are numbered anew, because they may be wider than the backend's
/// integers. Throws ArgumentError when a picture of the batch has the id that marks none.
template <class B>
PositiveIds equal_pictures(std::span<std::int64_t const> batch, std::span<std::int64_t const> queue,
                           Context<B>& ctx) {
    std::unordered_map<std::int64_t, int> numbers;
    std::vector<int> keys;
    keys.reserve(batch.size() + queue.size());
    for (auto const id : batch) {
        if (id == unknown_picture)
            throw ArgumentError(join("contrastive loss: a picture has the id ", unknown_picture,
                                     ", which marks unknown pictures"));
        keys.push_back(numbers.try_emplace(id, static_cast<int>(numbers.size())).first->second);
    }
    for (auto const id : queue) {
        auto const found = numbers.find(id);
        keys.push_back(found == numbers.end() ? -1 : found->second);
    }
    return upload_positives(keys, ctx);
}

/// Positives of pre-training: each picture has its own text and no other, though the same picture
/// be there twice or in the queue.
template <class B>
PositiveIds own_texts(int batch, int queue, Context<B>& ctx) {
    std::vector<int> keys(static_cast<std::size_t>(batch) + static_cast<std::size_t>(queue), -1);
    std::iota(keys.begin(), keys.begin() + batch, 0);
    return upload_positives(keys, ctx);
}

} // namespace blip
