#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace blip {

/// How much an OrderedPipeline does at a time.
struct PipelineOptions {
    std::size_t threads = 1;  ///< workers, at least 1
    std::size_t capacity = 8; ///< results that are made or wait to be taken, at least 1
};

/// Turns items into results on worker threads while the caller does something else, and hands the
/// results out in the items' order. What `source` and `work` throw is rethrown where that result
/// would have come.
template <class Item, class Result>
class OrderedPipeline {
public:
    using Source = std::function<std::optional<Item>()>; ///< called by one thread at a time
    using Work = std::function<Result(Item)>;            ///< called by several threads at a time

    OrderedPipeline(Source source, Work work, PipelineOptions options)
        : source_(std::move(source)), work_(std::move(work)), capacity_(options.capacity) {
        try {
            for (std::size_t i = 0; i < options.threads; ++i)
                threads_.emplace_back([this] { run(); });
        } catch (...) { // no more threads: those that run already must end
            close();
            throw;
        }
    }

    OrderedPipeline(OrderedPipeline const&) = delete;
    OrderedPipeline& operator=(OrderedPipeline const&) = delete;

    /// Waits for work under way, and for a source that is being read.
    ~OrderedPipeline() { close(); }

    /// The next result; none after the last, or when `give_up()` becomes true while none is ready.
    template <class GiveUp>
    std::optional<Result> next(GiveUp const& give_up) {
        constexpr auto patience = std::chrono::milliseconds(50);
        std::unique_lock lock(mutex_);
        auto const ready = [this] { return slots_.empty() ? closed_ : slots_.front()->ready; };
        while (!ready_.wait_for(lock, patience, ready))
            if (give_up())
                return std::nullopt;
        if (slots_.empty())
            return std::nullopt;
        auto const slot = std::move(slots_.front());
        slots_.pop_front();
        room_.notify_one();
        if (slot->failure)
            std::rethrow_exception(slot->failure);
        return std::move(slot->result);
    }

    std::optional<Result> next() {
        return next([] { return false; });
    }

private:
    void close() {
        {
            std::lock_guard const lock(mutex_);
            closed_ = true;
        }
        room_.notify_all();
    }

    struct Slot {
        std::optional<Result> result;
        std::exception_ptr failure;
        bool ready = false;
    };

    void run() {
        for (;;) {
            std::shared_ptr<Slot> slot;
            std::optional<Item> item;
            {
                // Held from reading to queueing, so that slots stand in the order of items.
                std::lock_guard const reading(source_mutex_);
                {
                    std::unique_lock lock(mutex_);
                    room_.wait(lock, [this] { return closed_ || slots_.size() < capacity_; });
                    if (closed_)
                        return;
                }
                slot = std::make_shared<Slot>();
                try {
                    item = source_();
                } catch (...) {
                    slot->failure = std::current_exception();
                }
                std::lock_guard const lock(mutex_);
                if (!item) {
                    closed_ = true;
                    if (slot->failure)
                        queue(slot);
                    slot->ready = true;
                    room_.notify_all();
                    ready_.notify_all();
                    return;
                }
                queue(slot);
            }
            try {
                slot->result = work_(std::move(*item));
            } catch (...) {
                slot->failure = std::current_exception();
            }
            std::lock_guard const lock(mutex_);
            slot->ready = true;
            ready_.notify_all();
        }
    }

    void queue(std::shared_ptr<Slot> slot) { slots_.push_back(std::move(slot)); }

    Source source_;
    Work work_;
    std::size_t capacity_;
    std::mutex source_mutex_;
    std::mutex mutex_;
    std::condition_variable room_;
    std::condition_variable ready_;
    std::deque<std::shared_ptr<Slot>> slots_;
    bool closed_ = false;
    std::vector<std::jthread> threads_;
};

} // namespace blip
