#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <blip/core/ordered_pipeline.hpp>

#include "interrupt.hpp"
#include "job.hpp"
#include "outputs.hpp"
#include "progress.hpp"

namespace support {

/// One run of a program over all its items: workers read and resize pictures while the model
/// computes the ones before them; records come out in the order of the items.
class Run {
public:
    /// `outputs` has taken what is done already off `source`.
    Run(RunOptions options, Job& job, ItemSource& source, Outputs& outputs)
        : options_(std::move(options)), job_(job), source_(source), outputs_(outputs),
          errors_(outputs.earlier_errors()), done_(outputs.earlier_items()) {}

    /// Returns the exit status. Throws FileError when an output cannot be written.
    int run() {
        progress_.continue_from(done_);
        progress_.draw();
        std::jthread counter;
        if (progress_.is_shown())
            counter = std::jthread([this](std::stop_token stop) { count(stop); });
        work_all();
        counter.request_stop();
        progress_.clear();
        outputs_.finish();
        if (done_ == 0)
            throw blip::FileError(options_.nothing_found);
        return errors_ > 0 ? some_failed : success;
    }

    std::uint64_t done() const { return done_; }
    std::uint64_t errors() const { return errors_; }

private:
    void count(std::stop_token stop) {
        try {
            if (auto const total = source_.count(stop))
                progress_.set_total(*total);
        } catch (std::exception const&) {
            // Only the time left is lost; the run meets the same problem and reports it.
        }
    }

    void work_all() {
        std::size_t const workers = preparing_threads(options_.threads);
        blip::OrderedPipeline<Item, Work> pipeline(
            [this] {
                auto first = outputs_.take_first();
                return first ? std::move(first) : source_.next();
            },
            [this](Item item) { return prepare(std::move(item)); },
            {.threads = workers, .capacity = 2 * options_.batch + workers});
        auto const stopped = [] { return interrupted_by() != 0; };
        while (!stopped()) {
            auto work = pipeline.next(stopped);
            if (!work)
                break;
            waiting_ += work->computes() ? 1 : 0;
            batch_.push_back(std::move(*work));
            // Broken items wait for the good ones before them, but not for ever.
            if (waiting_ == options_.batch || batch_.size() >= 4 * options_.batch || waiting_ == 0)
                finish_batch();
        }
        bool const interrupted = stopped();
        finish_batch();
        if (interrupted)
            end_early();
    }

    Work prepare(Item item) const {
        Work work;
        auto const keys = job_.keys(item);
        for (std::size_t i = item.done; i < keys.size(); ++i) {
            Record record;
            record.index = item.index;
            record.key = keys[i];
            record.error = item.error;
            work.records.push_back(std::move(record));
        }
        bool const broken = !item.error.empty();
        work.item = std::move(item);
        if (broken)
            return work;
        work.skipped = job_.is_done(work.item);
        if (work.skipped)
            return work;
        try {
            job_.prepare(work);
        } catch (blip::Error const& error) {
            work.fail(detail::one_line(error.what()));
        } catch (std::bad_alloc const&) {
            work.fail((work.item.paths.empty() ? std::string("query") : work.item.paths.front()) +
                      ": not enough memory to read this picture");
        }
        return work;
    }

    /// Computes the items that wait and writes all records.
    void finish_batch() {
        if (batch_.empty())
            return;
        std::vector<Work*> waiting;
        for (auto& work : batch_)
            if (work.computes())
                waiting.push_back(&work);
        if (!waiting.empty())
            compute(waiting);
        progress_.clear();
        for (auto& work : batch_)
            if (!work.skipped)
                write(work);
        outputs_.flush();
        for (auto& work : batch_)
            if (!work.skipped)
                job_.finished(work);
        done_ += batch_.size();
        progress_.advance(batch_.size());
        batch_.clear();
        waiting_ = 0;
    }

    void compute(std::vector<Work*> const& waiting) {
        if (!job_.fails_by_item())
            return job_.compute(waiting);
        try {
            job_.compute(waiting);
        } catch (blip::Error const&) {
            for (auto* work : waiting) {
                try {
                    job_.compute(std::span(&work, 1));
                } catch (blip::Error const& error) {
                    work->fail(detail::one_line(error.what()));
                }
            }
        }
    }

    void write(Work& work) {
        std::string said;
        for (auto& record : work.records) {
            if (!record.error.empty()) {
                ++errors_;
                if (record.error != said)
                    progress_.message(record.error);
                said = record.error;
            }
            if (auto const problem = job_.write_beside(record); !problem.empty()) {
                ++errors_;
                progress_.message(problem);
            }
            outputs_.write(record);
        }
    }

    [[noreturn]] void end_early() {
        progress_.clear();
        outputs_.finish();
        progress_.message(blip::join(
            options_.program, ": interrupted after ", done_, " ",
            done_ == 1 ? options_.one : options_.many,
            options_.resumable
                ? "; to continue, run the same command with " + options_.resumed_by
                : std::string("; to be able to continue, write to a file with --output")));
        // A worker may wait for a line of standard input that never comes.
        std::fflush(nullptr);
        std::_Exit(interrupt_status());
    }

    RunOptions options_;
    Job& job_;
    ItemSource& source_;
    Outputs& outputs_;
    Progress progress_;
    std::vector<Work> batch_;
    std::size_t waiting_ = 0; ///< items of the batch that need the model
    std::uint64_t errors_;
    std::uint64_t done_;
};

} // namespace support
