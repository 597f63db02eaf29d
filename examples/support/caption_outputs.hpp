#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <blip/io/write_file.hpp>

#include "caption_arguments.hpp"
#include "html_report.hpp"
#include "inputs.hpp"
#include "record_file.hpp"
#include "recorded_options.hpp"
#include "sidecar.hpp"

namespace support {

/// Everything that captions are written to, and how far earlier runs came.
class CaptionOutputs {
public:
    /// Opens or continues the files that the arguments name; pictures that are done already are
    /// taken off `inputs`. Throws FileError, FormatError, UsageError.
    CaptionOutputs(CaptionArguments const& a, Inputs& inputs)
        : sidecar_(a.sidecar), resume_(a.resume), force_(a.force), stdout_only_(a.output.empty()) {
        add(a.output, make_format(a), a);
        if (!a.html.empty())
            add(a.html, std::make_unique<HtmlFormat>(), a);
        auto const options = a.recorded();
        for (auto const& target : targets_)
            if (target.reader)
                options.expect_same(target.path);
        if (a.resume)
            find_start(inputs);
        // Only now, so that a mistake above leaves every file as it was.
        for (auto const& target : targets_)
            if (!target.reader && !target.path.empty())
                options.write(target.path);
        auto const existing = a.force ? Existing::replace : Existing::refuse;
        for (auto& target : targets_) {
            if (target.reader)
                target.file = std::make_unique<RecordFile>(target.path, std::move(target.format),
                                                           *target.reader);
            else if (target.path.empty())
                target.file = std::make_unique<RecordFile>(std::move(target.format));
            else
                target.file =
                    std::make_unique<RecordFile>(target.path, std::move(target.format), existing);
            target.reader.reset();
        }
    }

    /// Pictures that earlier runs have done, and how many of these were broken.
    std::uint64_t earlier() const { return earlier_; }
    std::uint64_t earlier_errors() const { return earlier_errors_; }

    /// The first picture that is not done, taken off the inputs while looking for it.
    std::optional<Input> take_first() { return std::exchange(first_, std::nullopt); }

    /// Whether this picture needs no caption: only sidecars are wanted and it has one.
    bool is_done(std::filesystem::path const& picture) const {
        std::error_code ignored;
        return sidecar_ && resume_ && stdout_only_ && targets_.size() == 1 &&
               std::filesystem::exists(sidecar_of(picture), ignored);
    }

    /// Why the picture got no sidecar, where it should have had one; else empty. Throws FileError.
    std::string write(CaptionRecord const& record) {
        // First, so that a killed run leaves no entry whose sidecar is missing.
        std::string problem;
        if (sidecar_ && record.error.empty())
            problem = write_sidecar(record);
        for (auto& target : targets_)
            target.file->write(record);
        return problem;
    }

    void flush() {
        for (auto& target : targets_)
            target.file->flush();
    }

    /// Ends the files. Throws FileError.
    void finish() {
        for (auto& target : targets_)
            target.file->finish();
    }

private:
    struct Target {
        std::filesystem::path path; ///< empty: standard output
        std::unique_ptr<RecordFormat> format;
        std::unique_ptr<RecordReader> reader;
        std::unique_ptr<RecordFile> file;
    };

    std::string write_sidecar(CaptionRecord const& record) const {
        auto const path = sidecar_of(record.path);
        std::error_code ignored;
        if (!force_ && std::filesystem::exists(path, ignored))
            return resume_ ? ""
                           : blip::join(path.string(), ": exists already and is kept. --resume ",
                                        "passes over such pictures, --force replaces their texts");
        for (auto const& target : targets_)
            if (!target.path.empty() && std::filesystem::equivalent(path, target.path, ignored))
                return blip::join(path.string(), ": is what all captions are written to, so ",
                                  record.path, " has no text file of its own");
        std::string text;
        for (auto const& caption : record.captions)
            text += caption.text + "\n";
        blip::write_file(path, text);
        return {};
    }

    void add(std::filesystem::path path, std::unique_ptr<RecordFormat> format,
             CaptionArguments const& a) {
        std::error_code ignored;
        Target target{std::move(path), std::move(format), nullptr, nullptr};
        bool const exists = !target.path.empty() && std::filesystem::exists(target.path, ignored);
        if (exists && !a.force && !a.resume)
            throw blip::FileError(
                blip::join(target.path.string(),
                           ": exists already. --resume continues it, --force replaces it"));
        if (exists && a.resume)
            target.reader = std::make_unique<RecordReader>(target.path, *target.format);
        targets_.push_back(std::move(target));
    }

    /// Goes through inputs and files side by side up to the first picture that one of them lacks.
    void find_start(Inputs& inputs) {
        std::vector<RecordReader*> readers;
        for (auto& target : targets_)
            if (target.reader)
                readers.push_back(target.reader.get());
        for (auto const& target : targets_)
            if (!readers.empty() && !target.reader && !target.path.empty())
                throw blip::FileError(blip::join(
                    target.path.string(), ": is missing, so it cannot be continued together with ",
                    "the other file. Continue without it, or make both anew with --force"));
        while (!readers.empty() && (first_ = inputs.next())) {
            for (auto* reader : readers)
                if (!reader->read(first_->path.string()))
                    return count_earlier(readers);
            for (auto* reader : readers)
                reader->take();
        }
        for (auto* reader : readers)
            reader->expect_end();
        count_earlier(readers);
    }

    void count_earlier(std::vector<RecordReader*> const& readers) {
        if (readers.empty())
            return;
        earlier_ = readers.front()->records();
        earlier_errors_ = readers.front()->errors();
    }

    bool sidecar_;
    bool resume_;
    bool force_;
    bool stdout_only_;
    std::vector<Target> targets_;
    std::optional<Input> first_;
    std::uint64_t earlier_ = 0;
    std::uint64_t earlier_errors_ = 0;
};

} // namespace support
