#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/train/json_source.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>

namespace blip {

/// The records of one training set, whatever it is kept in. Copies share it; reading is safe from
/// several threads at a time.
class DataSource {
public:
    /// A source of one's own; `name` is what messages call it.
    DataSource(std::shared_ptr<RecordSource const> records, std::string name,
               RecordNeeds needs = {.pictures = 0})
        : records_(std::move(records)), name_(std::move(name)), needs_(needs) {
        if (records_->size() == 0)
            throw FormatError(join(name_, ": holds no records"));
    }

    /// Opens what `path` is, by its ending:
    ///
    /// - `.json`, `.jsonl`: a list of objects, or an object a line.
    ///
    /// Throws FileError when there is none, FormatError for what is not what its ending says or
    /// holds no record, LimitError beyond the options' limits.
    static DataSource open(std::filesystem::path const& path,
                           DataSourceOptions const& options = {}) {
        std::error_code failure;
        if (!std::filesystem::exists(path, failure))
            throw FileError(join(path.string(), ": there is no such file or folder"));
        auto ending = path.extension().string();
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        std::shared_ptr<RecordSource const> records;
        if (ending == ".json" || ending == ".jsonl" || ending == ".ndjson")
            records = std::make_shared<JsonSource>(path, options);
        else
            throw FormatError(join(path.string(), ": not a kind of training data; expected a list "
                                                  "(.json, .jsonl)"));
        return DataSource(std::move(records), path.string(), options.needs);
    }

    std::size_t size() const { return records_->size(); }
    std::string const& name() const { return name_; }

    /// Record `i`. Throws FormatError for a broken one or one that lacks what the options need,
    /// naming it; FileError; ArgumentError beyond size().
    TrainingRecord record(std::size_t i) const {
        if (i >= size())
            throw ArgumentError(join(name_, ": record ", i, " of ", size()));
        auto record = records_->record(i);
        check_record(record, needs_);
        return record;
    }

private:
    std::shared_ptr<RecordSource const> records_;
    std::string name_;
    RecordNeeds needs_;
};

/// A number for the picture of every record, counted from 0 in the order in which they first appear
/// (spec section 7.4): what contrastive learning calls ids. Pictures are the same where `image_id`
/// is, or, without one, the file's name. A broken record has a number of its own. Reads every
/// record once, in order.
inline std::vector<std::int64_t> picture_numbers(DataSource const& source) {
    std::unordered_map<std::string, std::int64_t> numbers;
    std::vector<std::int64_t> result;
    std::int64_t next = 0;
    for (std::size_t i = 0; i < source.size(); ++i) {
        std::string key;
        try {
            auto const record = source.record(i);
            if (!record.image_id.empty())
                key = "i" + record.image_id;
            else if (!record.pictures.empty())
                key = "p" + record.pictures.front().name();
        } catch (Error const&) {
            // Told when training meets it.
        }
        if (key.empty()) {
            result.push_back(next++);
            continue;
        }
        auto const [known, is_new] = numbers.try_emplace(std::move(key), next);
        next += is_new ? 1 : 0;
        result.push_back(known->second);
    }
    return result;
}

} // namespace blip
