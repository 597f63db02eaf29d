#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <blip/vision/preprocess.hpp>
#include <blip/vision/read_image.hpp>

#include "caption_arguments.hpp"
#include "caption_model.hpp"
#include "caption_outputs.hpp"
#include "interrupt.hpp"
#include "pipeline.hpp"
#include "progress.hpp"

namespace support {

/// A picture read and resized, or why that failed.
struct PreparedPicture {
    CaptionRecord record;
    std::vector<float> pixels; ///< [3, side, side]; empty where there is nothing to compute
    bool skipped = false;      ///< has its caption from an earlier run
};

/// One run of `caption` over all its inputs: workers read and resize pictures while the model
/// describes the ones before them; captions come out in the order of the inputs.
class CaptionRun {
public:
    CaptionRun(CaptionArguments const& arguments, CaptionModel const& model)
        : arguments_(arguments), model_(model), inputs_(arguments.paths, arguments.subfolders()),
          outputs_(arguments, inputs_), options_(arguments.options),
          errors_(outputs_.earlier_errors()), done_(outputs_.earlier()) {
        bool const original = model.settings().compatibility == blip::Compatibility::salesforce;
        if (!options_.sample && !options_.beams && options_.results > 1)
            options_.beams = std::max(options_.results, original ? 3 : 1);
    }

    /// Returns the exit status. Throws FileError when an output cannot be written.
    int run() {
        progress_.continue_from(done_);
        progress_.draw();
        std::jthread counter;
        if (progress_.is_shown())
            counter = std::jthread([this](std::stop_token stop) { count(stop); });
        describe_all();
        counter.request_stop();
        progress_.clear();
        outputs_.finish();
        if (done_ == 0)
            throw blip::FileError("no pictures found: folders are searched for .jpg, .png, .bmp, "
                                  ".gif and .webp files, subfolders with --recursive only");
        return errors_ > 0 ? some_failed : success;
    }

    std::uint64_t done() const { return done_; }

private:
    void count(std::stop_token stop) {
        try {
            if (auto const total = count_inputs(arguments_.paths, arguments_.subfolders(), stop))
                progress_.set_total(*total);
        } catch (std::exception const&) {
            // Only the time left is lost; the run meets the same problem and reports it.
        }
    }

    void describe_all() {
        std::size_t const workers = preparing_threads(arguments_.threads);
        OrderedPipeline<Input, PreparedPicture> pipeline(
            [this] {
                auto first = outputs_.take_first();
                return first ? std::move(first) : inputs_.next();
            },
            [this](Input input) { return prepare(std::move(input)); },
            {.threads = workers, .capacity = 2 * arguments_.batch + workers});
        auto const stopped = [] { return interrupted_by() != 0; };
        while (!stopped()) {
            auto picture = pipeline.next(stopped);
            if (!picture)
                break;
            // Samples are keyed by the input's number, which must count up by one in a batch.
            if (options_.sample && picture->pixels.empty())
                describe_batch();
            bool const computes = !picture->pixels.empty();
            waiting_ += computes ? 1 : 0;
            batch_.push_back(std::move(*picture));
            // Broken pictures wait for the good ones before them, but not for ever.
            if (waiting_ == arguments_.batch || batch_.size() >= 4 * arguments_.batch ||
                waiting_ == 0)
                describe_batch();
        }
        bool const interrupted = stopped();
        describe_batch();
        if (interrupted)
            end_early();
    }

    PreparedPicture prepare(Input input) const {
        PreparedPicture picture;
        auto& record = picture.record;
        record.index = input.index;
        record.path = input.path.string();
        record.error = std::move(input.error);
        if (!record.error.empty())
            return picture;
        picture.skipped = outputs_.is_done(input.path);
        if (picture.skipped)
            return picture;
        try {
            auto const image =
                blip::read_image(input.path, {.orientation = arguments_.exif_orientation
                                                                 ? blip::Orientation::upright
                                                                 : blip::Orientation::as_stored});
            auto const size = blip::image_size(image);
            record.width = size.width;
            record.height = size.height;
            if (!arguments_.html.empty())
                record.thumbnail = thumbnail(image);
            picture.pixels.resize(blip::preprocessed_size(model_.preprocessing()));
            blip::preprocess(image, model_.preprocessing(), picture.pixels);
        } catch (blip::Error const& error) {
            picture.pixels.clear();
            record.error = detail::one_line(error.what());
        } catch (std::bad_alloc const&) {
            picture.pixels.clear();
            record.error = record.path + ": not enough memory to read this picture";
        }
        return picture;
    }

    /// Describes the pictures that wait and writes all records.
    void describe_batch() {
        if (batch_.empty())
            return;
        if (waiting_ > 0)
            caption_batch();
        progress_.clear();
        for (auto& picture : batch_) {
            if (picture.skipped)
                continue;
            if (!picture.record.error.empty()) {
                ++errors_;
                progress_.message(picture.record.error);
            }
            if (auto const problem = outputs_.write(picture.record); !problem.empty()) {
                ++errors_;
                progress_.message(problem);
            }
        }
        outputs_.flush();
        done_ += batch_.size();
        progress_.advance(batch_.size());
        batch_.clear();
        waiting_ = 0;
    }

    void caption_batch() {
        auto const side = model_.preprocessing().size;
        blip::Pixels pixels(blip::Pixels::shape_type{waiting_, 3, side, side});
        float* to = pixels.data();
        auto options = options_;
        bool first = true;
        for (auto const& picture : batch_) {
            if (picture.pixels.empty())
                continue;
            to = std::copy(picture.pixels.begin(), picture.pixels.end(), to);
            if (std::exchange(first, false))
                options.first_image = picture.record.index;
        }
        auto captions = model_.generate(pixels, options);
        auto next = captions.begin();
        for (auto& picture : batch_)
            if (!picture.pixels.empty())
                picture.record.captions = std::move(*next++);
    }

    [[noreturn]] void end_early() {
        progress_.clear();
        outputs_.finish();
        bool const resumable = !arguments_.output.empty() || arguments_.sidecar;
        progress_.message(blip::join(
            "caption: interrupted after ", done_, done_ == 1 ? " picture" : " pictures",
            resumable ? "; to continue, run the same command with --resume (without --force)"
                      : "; to be able to continue, write to a file with --output"));
        // A worker may wait for a line of standard input that never comes.
        std::fflush(nullptr);
        std::_Exit(interrupt_status());
    }

    CaptionArguments const& arguments_;
    CaptionModel const& model_;
    Inputs inputs_;
    CaptionOutputs outputs_;
    blip::CaptionOptions options_;
    Progress progress_;
    std::vector<PreparedPicture> batch_;
    std::size_t waiting_ = 0; ///< pictures of the batch that need the model
    std::uint64_t errors_;
    std::uint64_t done_;
};

} // namespace support
