#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/train/csv_source.hpp>
#include <blip/train/json_source.hpp>
#include <blip/train/parts.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>
#include <blip/train/shard_source.hpp>
#include <blip/train/sidecar_source.hpp>
#include <blip/vision/picture_name.hpp>

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

    /// Opens what `path` is:
    ///
    /// - `.json`, `.jsonl`: a list of objects, or an object a line (JsonSource);
    /// - `.csv`, `.tsv`: a table (CsvSource);
    /// - `.tar`: a shard; many by their numbers, `shard-{0000..0127}.tar`; a folder of them; or a
    ///   `.txt` with the path of a shard a line, relative ones starting from the list
    ///   (ShardSource);
    /// - a folder with `metadata.jsonl` or `metadata.csv`: that list; any other folder: pictures
    ///   with texts beside them (SidecarSource).
    ///
    /// Throws FileError when there is nothing, FormatError for what is not what its ending says or
    /// holds no record, LimitError beyond the options' limits.
    static DataSource open(std::filesystem::path const& path,
                           DataSourceOptions const& options = {}) {
        return DataSource(records_of(path, options), path.string(), options.needs);
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
    using Records = std::shared_ptr<RecordSource const>;

    static std::string ending_of(std::filesystem::path const& path) {
        auto ending = path.extension().string();
        std::transform(ending.begin(), ending.end(), ending.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        return ending;
    }

    static Records records_of(std::filesystem::path const& path, DataSourceOptions const& options) {
        std::error_code failure;
        if (!std::filesystem::exists(path, failure))
            if (auto shards = numbered_shards(path.string()); !shards.empty())
                return std::make_shared<ShardSource>(std::move(shards), options);
        if (!std::filesystem::exists(path, failure))
            throw FileError(join(path.string(), ": there is no such file or folder"));
        if (std::filesystem::is_directory(path, failure))
            return records_of_folder(path, options);
        auto const ending = ending_of(path);
        if (ending == ".json" || ending == ".jsonl" || ending == ".ndjson")
            return std::make_shared<JsonSource>(path, options);
        if (ending == ".csv" || ending == ".tsv")
            return std::make_shared<CsvSource>(path, options);
        if (ending == ".tar")
            return std::make_shared<ShardSource>(std::vector{path}, options);
        if (ending == ".txt")
            return std::make_shared<ShardSource>(listed_shards(path), options);
        throw FormatError(join(path.string(),
                               ": not a kind of training data; expected a list (.json, .jsonl, "
                               ".csv, .tsv), a shard (.tar), a list of shards (.txt) or a folder"));
    }

    static Records records_of_folder(std::filesystem::path const& folder,
                                     DataSourceOptions const& options) {
        for (auto const* const name : {"metadata.jsonl", "metadata.csv"})
            if (std::filesystem::exists(folder / name))
                return records_of(folder / name, options);
        std::vector<std::filesystem::path> shards;
        std::error_code failure;
        std::filesystem::directory_iterator entry(folder, failure);
        for (; !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure))
            if (ending_of(entry->path()) == ".tar" &&
                entry->path().filename().native().front() != '.')
                shards.push_back(entry->path());
        if (failure)
            throw FileError(join(folder.string(), ": cannot be listed: ", failure.message()));
        if (shards.empty())
            return std::make_shared<SidecarSource>(folder, options);
        std::sort(shards.begin(), shards.end(), [](auto const& a, auto const& b) {
            return natural_less(a.filename().string(), b.filename().string());
        });
        return std::make_shared<ShardSource>(std::move(shards), options);
    }

    /// "s-{08..11}.tar" as s-08.tar, s-09.tar, s-10.tar, s-11.tar; none for other names.
    static std::vector<std::filesystem::path> numbered_shards(std::string const& path) {
        auto const open = path.find('{'), dots = path.find("..", open),
                   close = path.find('}', dots);
        if (close == std::string::npos || !path.ends_with(".tar"))
            return {};
        auto const number = [&](std::size_t begin, std::size_t end) {
            std::uint64_t value = 0;
            auto const result = std::from_chars(path.data() + begin, path.data() + end, value);
            bool const whole = result.ec == std::errc() && result.ptr == path.data() + end;
            return whole ? std::optional(value) : std::nullopt;
        };
        constexpr std::uint64_t most = 1'000'000;
        auto const first = number(open + 1, dots), last = number(dots + 2, close);
        if (!first || !last || *first > *last || *last - *first >= most)
            throw FormatError(join(path, ": expected two numbers in braces, the smaller one first "
                                         "and less than a million apart, as in {0000..0127}"));
        std::vector<std::filesystem::path> shards;
        for (auto value = *first; value - *first <= *last - *first; ++value) {
            auto digits = std::to_string(value);
            if (digits.size() < dots - open - 1)
                digits.insert(0, dots - open - 1 - digits.size(), '0');
            shards.push_back(path.substr(0, open) + digits + path.substr(close + 1));
        }
        return shards;
    }

    static std::vector<std::filesystem::path> listed_shards(std::filesystem::path const& list) {
        MappedFile const file(list);
        std::vector<std::filesystem::path> shards;
        for (auto const& line : detail::caption_lines(
                 {reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size()},
                 list.string())) {
            if (!line.ends_with(".tar"))
                throw FormatError(join(list.string(), ": \"", line.substr(0, 100),
                                       "\" is no shard; expected the path of a .tar a line"));
            shards.push_back(list.parent_path() / line);
        }
        return shards;
    }

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
