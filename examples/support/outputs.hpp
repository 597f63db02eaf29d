#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "item.hpp"
#include "record_file.hpp"
#include "recorded_options.hpp"

namespace support {

/// A file that records are written to, and how.
struct OutputTarget {
    std::filesystem::path path; ///< empty: standard output
    std::unique_ptr<RecordFormat> format;
};

/// What is done about files that exist.
enum class WhenExisting {
    refuse,
    replace, ///< --force
    resume,  ///< --resume
};

/// Everything that records are written to, and how far earlier runs came.
class Outputs {
public:
    using Keys = std::function<std::vector<Key>(Item const&)>;

    /// Opens or continues the targets; what is done already is taken off `source`, whose items have
    /// the records that `keys` names. `options`: all that the records depend on. Throws FileError,
    /// FormatError.
    Outputs(std::vector<OutputTarget> targets, WhenExisting existing,
            RecordedOptions const& options, ItemSource& source, Keys const& keys) {
        for (auto& target : targets)
            add(std::move(target), existing);
        for (auto const& target : targets_)
            if (target.reader)
                options.expect_same(target.path);
        if (existing == WhenExisting::resume)
            find_start(source, keys);
        // Only now, so that a mistake above leaves every file as it was.
        for (auto const& target : targets_)
            if (!target.reader && !target.path.empty())
                options.write(target.path);
        for (auto& target : targets_) {
            if (target.reader)
                target.file = std::make_unique<RecordFile>(target.path, std::move(target.format),
                                                           *target.reader);
            else if (target.path.empty())
                target.file = std::make_unique<RecordFile>(std::move(target.format));
            else
                target.file = std::make_unique<RecordFile>(
                    target.path, std::move(target.format),
                    existing == WhenExisting::replace ? Existing::replace : Existing::refuse);
            target.reader.reset();
        }
    }

    /// Items that earlier runs have done whole, and how many of all their records were errors.
    std::uint64_t earlier_items() const { return earlier_items_; }
    std::uint64_t earlier_errors() const { return earlier_errors_; }

    /// The first item that is not done, taken off the source while looking for it.
    std::optional<Item> take_first() { return std::exchange(first_, std::nullopt); }

    /// Throws FileError.
    void write(Record const& record) {
        for (auto& target : targets_)
            target.file->write(record);
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
        std::filesystem::path path;
        std::unique_ptr<RecordFormat> format;
        std::unique_ptr<RecordReader> reader;
        std::unique_ptr<RecordFile> file;
    };

    void add(OutputTarget wanted, WhenExisting existing) {
        std::error_code ignored;
        Target target{std::move(wanted.path), std::move(wanted.format), nullptr, nullptr};
        bool const exists = !target.path.empty() && std::filesystem::exists(target.path, ignored);
        if (exists && existing == WhenExisting::refuse)
            throw blip::FileError(
                blip::join(target.path.string(),
                           ": exists already. --resume continues it, --force replaces it"));
        if (exists && existing == WhenExisting::resume)
            target.reader = std::make_unique<RecordReader>(target.path, *target.format);
        targets_.push_back(std::move(target));
    }

    /// Goes through items and files side by side up to the first record that one of them lacks.
    void find_start(ItemSource& source, Keys const& keys) {
        std::vector<RecordReader*> readers;
        for (auto& target : targets_)
            if (target.reader)
                readers.push_back(target.reader.get());
        for (auto const& target : targets_)
            if (!readers.empty() && !target.reader && !target.path.empty())
                throw blip::FileError(blip::join(
                    target.path.string(), ": is missing, so it cannot be continued together with ",
                    "the other file. Continue without it, or make both anew with --force"));
        if (readers.empty())
            return;
        for (bool complete = true; complete && (first_ = source.next());) {
            auto const records = keys(*first_);
            while (complete && first_->done < records.size()) {
                for (auto* reader : readers)
                    complete = complete && reader->read(records[first_->done]);
                for (auto* reader : readers)
                    if (complete)
                        reader->take();
                first_->done += complete ? 1 : 0;
            }
            earlier_items_ += complete ? 1 : 0;
        }
        if (!first_)
            for (auto* reader : readers)
                reader->expect_end();
        earlier_errors_ = readers.front()->errors();
    }

    std::vector<Target> targets_;
    std::optional<Item> first_;
    std::uint64_t earlier_items_ = 0;
    std::uint64_t earlier_errors_ = 0;
};

} // namespace support
