#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/train/parts.hpp>
#include <blip/train/record.hpp>
#include <blip/train/record_source.hpp>
#include <blip/train/tar.hpp>
#include <blip/vision/picture_name.hpp>

namespace blip {

namespace detail {

/// The name of a member without what follows the first dot of its last part: what the members of
/// one sample share (WebDataset's rule). Empty for hidden files.
inline std::string_view sample_key(std::string_view name) {
    auto const slash = name.rfind('/');
    auto const file = slash == std::string_view::npos ? 0 : slash + 1;
    auto const dot = name.find('.', file);
    return dot == file ? std::string_view{} : name.substr(0, dot);
}

enum class PartKind : std::uint8_t { other, picture, captions, fields };

/// What a member is by what follows its sample's key: ".jpg", ".txt", ".json", or numbered where a
/// sample has several pictures, ".0.png". Anything else (".seg.png", ".cls") is passed over.
inline PartKind part_kind(std::string_view name) {
    std::string ending(name.substr(sample_key(name).size()));
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (ending == ".txt")
        return PartKind::captions;
    if (ending == ".json")
        return PartKind::fields;
    auto const second = ending.find('.', 1);
    if (second != std::string::npos && second > 1 &&
        ending.find_first_not_of("0123456789", 1) == second)
        ending.erase(0, second);
    return std::find(picture_endings.begin(), picture_endings.end(), ending) !=
                   picture_endings.end()
               ? PartKind::picture
               : PartKind::other;
}

} // namespace detail

/// Tar archives in the layout of WebDataset: members of one name but for what follows its first dot
/// are a sample, `000017.jpg` with `000017.txt` (a caption a line), `000017.json` (an object as in
/// lists), or both; `000017.0.jpg` and `000017.1.jpg` are its two pictures. Opening reads the
/// headers of every shard once, forwards; pictures and texts are read where they lie when they are
/// asked for. A sample takes about 60 bytes and its names.
class ShardSource final : public RecordSource {
public:
    /// Throws FileError, FormatError for an archive that is damaged or holds no pictures,
    /// LimitError.
    ShardSource(std::vector<std::filesystem::path> shards, DataSourceOptions const& options)
        : shards_(std::move(shards)), max_text_bytes_(options.max_record_bytes) {
        for (std::size_t i = 0; i < shards_.size(); ++i)
            index(i, options);
    }

    std::size_t size() const override { return samples_.size(); }

    TrainingRecord record(std::size_t i) const override {
        auto const& sample = samples_.at(i);
        auto const& shard = shards_[sample.shard];
        std::vector<PictureSource> pictures;
        std::string captions, fields;
        bool has_captions = false, has_fields = false;
        for (std::size_t p = sample.first; p < sample.first + sample.count; ++p) {
            auto const& part = parts_[p];
            PictureSource source{shard, part.offset, part.size, name_of(part)};
            if (part.kind == detail::PartKind::picture) {
                pictures.push_back(std::move(source));
                continue;
            }
            bool const is_captions = part.kind == detail::PartKind::captions;
            auto const bytes =
                read_part(shard, part.offset, part.size, max_text_bytes_, source.name());
            (is_captions ? captions : fields)
                .assign(reinterpret_cast<char const*>(bytes.data()), bytes.size());
            (is_captions ? has_captions : has_fields) = true;
        }
        auto where =
            join(shard.string(), ", sample ", detail::sample_key(name_of(parts_[sample.first])));
        if (pictures.empty())
            throw FormatError(join(where, ": there is no picture (", picture_endings.front(),
                                   ", ...) with its texts"));
        return detail::record_of_parts(std::move(pictures), has_captions ? &captions : nullptr,
                                       has_fields ? &fields : nullptr, std::move(where));
    }

private:
    struct Part {
        std::uint64_t offset = 0;
        std::uint64_t size = 0;
        std::uint64_t name = 0; ///< where in names_
        std::uint32_t name_size = 0;
        detail::PartKind kind = detail::PartKind::other;
    };

    struct Sample {
        std::uint64_t first = 0; ///< of its parts
        std::uint32_t count = 0;
        std::uint32_t shard = 0;
    };

    std::string name_of(Part const& part) const { return names_.substr(part.name, part.name_size); }

    void index(std::size_t shard, DataSourceOptions const& options) {
        auto const name = shards_[shard].string();
        MappedFile const file(shards_[shard]);
        if (file.bytes().empty())
            throw FormatError(join(name, ": is empty; expected a tar archive"));
        auto const first_part = parts_.size();
        std::unordered_map<std::string, std::uint64_t> numbers; // of samples within the shard
        std::vector<std::uint64_t> sample_of;                   // parts
        read_tar(
            file.bytes(), name,
            [&](TarMember const& member) {
                auto const kind = detail::part_kind(member.name);
                auto const key = detail::sample_key(member.name);
                if (kind == detail::PartKind::other || key.empty())
                    return;
                sample_of.push_back(
                    numbers.try_emplace(std::string(key), numbers.size()).first->second);
                parts_.push_back({member.offset, member.size, names_.size(),
                                  static_cast<std::uint32_t>(member.name.size()), kind});
                names_ += member.name;
            },
            TarLimits{});
        if (numbers.empty())
            throw FormatError(join(name, ": no pictures or texts in this archive; expected members "
                                         "such as 000017.jpg and 000017.txt. What precedes the "
                                         "first dot of a name is the sample's."));
        if (samples_.size() + numbers.size() > options.max_records)
            throw LimitError(join(name, ": more than ", options.max_records, " records"));
        group(shard, first_part, sample_of);
    }

    /// Brings the parts of each sample together, in the order of their names.
    void group(std::size_t shard, std::size_t first_part,
               std::vector<std::uint64_t> const& sample_of) {
        std::vector<std::pair<std::uint64_t, Part>> sorted;
        for (std::size_t i = 0; i < sample_of.size(); ++i)
            sorted.emplace_back(sample_of[i], parts_[first_part + i]);
        auto const text = [&](Part const& part) {
            return std::string_view(names_).substr(part.name, part.name_size);
        };
        std::sort(sorted.begin(), sorted.end(), [&](auto const& a, auto const& b) {
            return a.first != b.first ? a.first < b.first : text(a.second) < text(b.second);
        });
        for (std::size_t i = 0; i < sorted.size(); ++i) {
            auto const& [sample, part] = sorted[i];
            parts_[first_part + i] = part;
            bool const is_new = i == 0 || sorted[i - 1].first != sample;
            if (is_new)
                samples_.push_back({first_part + i, 0, static_cast<std::uint32_t>(shard)});
            ++samples_.back().count;
            bool const is_text = part.kind != detail::PartKind::picture;
            if (!is_new && (text(sorted[i - 1].second) == text(part) ||
                            (is_text && sorted[i - 1].second.kind == part.kind)))
                throw FormatError(join(shards_[shard].string(), ": two members \"",
                                       text(sorted[i - 1].second), "\" and \"", text(part),
                                       "\" for one sample"));
        }
    }

    std::vector<std::filesystem::path> shards_;
    std::size_t max_text_bytes_;
    std::string names_;
    std::vector<Part> parts_;
    std::vector<Sample> samples_;
};

} // namespace blip
