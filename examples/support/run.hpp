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

#include <blip/vision/preprocess.hpp>
#include <blip/vision/read_image.hpp>

#include "common_arguments.hpp"
#include "html_report.hpp"
#include "interrupt.hpp"
#include "item.hpp"
#include "outputs.hpp"
#include "pipeline.hpp"
#include "progress.hpp"

namespace support {

/// An item on its way through the program.
struct Work {
    Item item;
    std::vector<Record> records;        ///< one for each of Job::keys
    std::vector<float> pixels;          ///< of all its pictures; empty: nothing to compute
    std::vector<blip::ImageSize> sizes; ///< of its pictures as they were read
    std::vector<blip::Image> images;    ///< only where Job::prepare keeps them
    bool skipped = false;               ///< has its results from an earlier run

    bool computes() const { return !pixels.empty(); }
    /// Gives every record this error.
    void fail(std::string const& error) {
        pixels.clear();
        for (auto& record : records)
            record.error = error;
    }
};

/// What a program does with its items; all else is the same for every program.
class Job {
public:
    virtual ~Job() = default;
    /// The keys of the item's records.
    virtual std::vector<Key> keys(Item const& item) const { return {item.paths}; }
    /// Whether nothing is to be done for this item.
    virtual bool is_done(Item const& item) const {
        static_cast<void>(item);
        return false;
    }
    /// Reads and resizes; called by several threads at a time. What it throws becomes the error of
    /// the item's records.
    virtual void prepare(Work& work) const = 0;
    /// Fills the records of all of `batch`, whose items are in order.
    virtual void compute(std::span<Work* const> batch) = 0;
    /// Whether compute() may fail for one item's own sake: its error is the item's then.
    virtual bool fails_by_item() const { return false; }
    /// Writes what belongs beside a record's picture; before the record, so that a killed run
    /// leaves no record without it. Returns why that was not possible, or nothing. Throws
    /// FileError.
    virtual std::string write_beside(Record const& record) const {
        static_cast<void>(record);
        return {};
    }
    /// Called in order, after the item's records were written.
    virtual void finished(Work const& work) { static_cast<void>(work); }
};

/// How pictures become pixels.
struct PictureOptions {
    blip::Preprocess preprocess;
    bool upright = false;    ///< turned as the camera noted
    bool thumbnails = false; ///< for pages
    bool keep_images = false;
};

/// Reads all pictures of an item, one after another, into `work.pixels`. Throws blip::Error.
inline void read_pictures(Work& work, PictureOptions const& options) {
    auto const floats = blip::preprocessed_size(options.preprocess);
    std::vector<float> pixels(floats * work.item.paths.size());
    for (std::size_t i = 0; i < work.item.paths.size(); ++i) {
        auto image = blip::read_image(
            work.item.paths[i], {.orientation = options.upright ? blip::Orientation::upright
                                                                : blip::Orientation::as_stored});
        work.sizes.push_back(blip::image_size(image));
        if (options.thumbnails)
            for (auto const address = thumbnail(image); auto& record : work.records)
                record.pictures.push_back(address);
        blip::preprocess(image, options.preprocess, std::span(pixels).subspan(i * floats, floats));
        if (options.keep_images)
            work.images.push_back(std::move(image));
    }
    work.pixels = std::move(pixels);
}

/// The pixels of a batch as the models take them, [pictures, 3, side, side].
inline blip::Pixels gather_pixels(std::span<Work* const> batch, std::size_t side) {
    std::size_t floats = 0;
    for (auto const* work : batch)
        floats += work->pixels.size();
    blip::Pixels pixels(blip::Pixels::shape_type{floats / (3 * side * side), 3, side, side});
    float* to = pixels.data();
    for (auto const* work : batch)
        to = std::copy(work->pixels.begin(), work->pixels.end(), to);
    return pixels;
}

/// How a Run goes about its work.
struct RunOptions {
    std::string program;                              ///< its name, for messages
    std::size_t batch = 8;                            ///< items that are computed together
    std::size_t threads = 0;                          ///< that compute; 0: all
    std::string one = "picture", many = "pictures";   ///< what an item is
    std::string nothing_found = nothing_found_text(); ///< the error where there are no items
    bool resumable = false;                           ///< whether --resume can continue the run

    static std::string nothing_found_text() {
        return "no pictures found: folders are searched for .jpg, .png, .bmp, .gif and .webp "
               "files, subfolders with --recursive only";
    }
};

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
        OrderedPipeline<Item, Work> pipeline(
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
            work.fail(work.item.paths.front() + ": not enough memory to read this picture");
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
        progress_.message(
            blip::join(options_.program, ": interrupted after ", done_, " ",
                       done_ == 1 ? options_.one : options_.many,
                       options_.resumable
                           ? "; to continue, run the same command with --resume (without --force)"
                           : "; to be able to continue, write to a file with --output"));
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

/// Runs a program over all its items into all its outputs; returns the exit status. Throws as
/// Outputs and Run::run do.
inline int run_job(Job& job, ItemSource& items, CommonArguments const& a, Schema const& schema,
                   RecordedOptions const& recorded, RunOptions options,
                   PageLayout layout = PageLayout::cards) {
    Outputs outputs(a.targets(schema, layout), a.when_existing(), recorded, items,
                    [&job](Item const& item) { return job.keys(item); });
    options.batch = a.batch;
    options.threads = a.threads;
    return Run(std::move(options), job, items, outputs).run();
}

} // namespace support
