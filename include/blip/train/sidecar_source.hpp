#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/train/parts.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>
#include <blip/vision/picture_name.hpp>
#include <blip/vision/read_image.hpp>

namespace blip {

/// A folder of pictures, subfolders included, each with a text of the same name beside it: `a.jpg`
/// and `a.txt` (a caption a line), `a.json` (an object as in lists), or both. Records stand in the
/// order in which people count names. Hidden files and links to folders are passed over; a picture
/// without a text has no captions.
class SidecarSource final : public RecordSource {
public:
    /// Throws FileError when the folder cannot be read, FormatError when no picture has a text.
    SidecarSource(std::filesystem::path folder, DataSourceOptions const& options)
        : folder_(std::move(folder)), max_text_bytes_(options.max_record_bytes) {
        std::error_code failure;
        collect(options, failure);
        if (failure)
            throw FileError(join(folder_.string(), ": cannot be listed: ", failure.message()));
        std::sort(names_.begin(), names_.end(), natural_less);
        auto const has_text = [&](std::string const& name) {
            std::error_code ignored;
            return std::filesystem::exists(beside(name, ".txt"), ignored) ||
                   std::filesystem::exists(beside(name, ".json"), ignored);
        };
        if (std::none_of(names_.begin(), names_.end(), has_text))
            throw FormatError(join(folder_.string(), ": none of its ", names_.size(),
                                   " pictures has a text beside it, such as photo.txt beside "
                                   "photo.jpg"));
    }

    std::size_t size() const override { return names_.size(); }

    TrainingRecord record(std::size_t i) const override {
        auto const& name = names_.at(i);
        auto const captions = read(beside(name, ".txt")), fields = read(beside(name, ".json"));
        auto const picture = folder_ / name;
        return detail::record_of_parts({{picture, 0, {}, {}}}, captions ? &*captions : nullptr,
                                       fields ? &*fields : nullptr, picture.string());
    }

private:
    void collect(DataSourceOptions const& options, std::error_code& failure) {
        namespace fs = std::filesystem;
        fs::recursive_directory_iterator entry(folder_, failure);
        for (; !failure && entry != fs::recursive_directory_iterator(); entry.increment(failure)) {
            std::error_code ignored;
            bool const is_folder = entry->is_directory(ignored);
            if (entry->path().filename().native().front() == '.') {
                if (is_folder)
                    entry.disable_recursion_pending();
            } else if (!is_folder && has_picture_name(entry->path())) {
                if (names_.size() >= options.max_records)
                    throw LimitError(
                        join(folder_.string(), ": more than ", options.max_records, " pictures"));
                names_.push_back(entry->path().lexically_relative(folder_).string());
            }
        }
    }

    std::filesystem::path beside(std::string const& name, char const* ending) const {
        return (folder_ / name).replace_extension(ending);
    }

    /// The content of a small file; none where there is no file.
    std::optional<std::string> read(std::filesystem::path const& path) const {
        std::error_code ignored;
        if (!std::filesystem::exists(path, ignored))
            return std::nullopt;
        auto const bytes = detail::read_picture_file(path, max_text_bytes_);
        return std::string(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    }

    std::filesystem::path folder_;
    std::size_t max_text_bytes_;
    std::vector<std::string> names_; ///< relative to the folder
};

} // namespace blip
