#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>
#include <blip/vision/read_image.hpp>

namespace blip {

/// Where an encoded picture lies: a file of its own, or a part of one.
struct PictureSource {
    std::filesystem::path file{};
    std::uint64_t offset = 0;
    std::optional<std::uint64_t> size{}; ///< bytes from `offset` on; none: the whole file
    std::string member{};                ///< how messages call a part

    /// How messages call it: "photos/a.jpg", "shard-0001.tar, member 000017.jpg".
    std::string name() const {
        return size ? join(file.string(), ", member ", member) : file.string();
    }
};

/// The `size` bytes at `offset` of `file`; `name` is what messages call them.
/// Throws FileError when the file does not open or ends before, LimitError beyond `limit` bytes.
inline std::vector<std::byte> read_part(std::filesystem::path const& file, std::uint64_t offset,
                                        std::uint64_t size, std::size_t limit,
                                        std::string const& name) {
    if (size > limit)
        throw LimitError(join(name, ": ", size, " bytes, the limit is ", limit));
    std::ifstream stream(file, std::ios::binary);
    if (!stream)
        throw FileError(join(name, ": cannot be opened. Check the path and its permissions."));
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    stream.seekg(static_cast<std::streamoff>(offset));
    stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    if (!stream)
        throw FileError(join(name, ": ", size, " bytes at byte ", offset,
                             " cannot be read; the file was changed, or the disk has a fault"));
    return bytes;
}

/// Reads and decodes a picture. Throws FileError, FormatError, LimitError.
inline Image read_picture(PictureSource const& source, ReadOptions const& options = {}) {
    if (!source.size)
        return read_image(source.file, options);
    auto const name = source.name();
    auto const bytes = read_part(source.file, source.offset, *source.size, options.max_bytes, name);
    return detail::decode_image({bytes, name}, options);
}

/// One sample of a training set as its list holds it; which members are filled depends on the task.
struct TrainingRecord {
    std::vector<PictureSource> pictures{}; ///< one; NLVR2 two
    std::vector<std::string> captions{};   ///< NLVR2: the sentence
    std::string question{};
    std::vector<std::string> answers{}; ///< repeated as often as people gave them
    std::string dataset{};              ///< "vqa", "vg", ... as the list says
    std::string image_id{};             ///< equal for records of one picture; empty: not given
    std::optional<bool> label{};        ///< whether the sentence holds
    std::string where{};                ///< for messages: "train.json, element 17"
};

/// What a task needs of each record.
struct RecordNeeds {
    std::size_t pictures = 1; ///< exactly; 0: any number
    bool captions = false;    ///< at least one, none of them empty
    bool question = false;
    bool answers = false; ///< at least one, none of them empty
    bool label = false;
};

/// Throws FormatError that names the record and what it lacks.
inline void check_record(TrainingRecord const& record, RecordNeeds const& needs) {
    auto const lacks = [&](auto const&... what) {
        throw FormatError(join(record.where, ": ", what...));
    };
    auto const has_empty = [](std::vector<std::string> const& texts) {
        for (auto const& text : texts)
            if (text.find_first_not_of(" \t\r\n") == std::string::npos)
                return true;
        return false;
    };
    if (needs.pictures != 0 && record.pictures.size() != needs.pictures)
        lacks("there are ", record.pictures.size(), " pictures, expected ", needs.pictures);
    if (needs.captions && (record.captions.empty() || has_empty(record.captions)))
        lacks("no \"caption\", or an empty one");
    if (needs.question && has_empty({record.question}))
        lacks("no \"question\", or an empty one");
    if (needs.answers && (record.answers.empty() || has_empty(record.answers)))
        lacks("no \"answer\", or an empty one");
    if (needs.label && !record.label)
        lacks("no \"label\" that is \"True\" or \"False\"");
}

/// One of `texts`, drawn from `key`. Throws ArgumentError when there is none.
inline std::string const& choose_text(std::vector<std::string> const& texts, RandomKey key) {
    if (texts.empty())
        throw ArgumentError("choose_text: there is no text to choose from");
    return texts[static_cast<std::size_t>(random_uniform(key, 0) *
                                          static_cast<double>(texts.size()))];
}

/// The texts of `sentence` with the words "left" and "right" exchanged; other words are not
/// touched. As in the release, words are what stands between spaces.
inline std::string exchange_sides(std::string const& sentence) {
    std::string result;
    for (std::size_t begin = 0; begin <= sentence.size();) {
        auto const end = std::min(sentence.find(' ', begin), sentence.size());
        auto const word = sentence.substr(begin, end - begin);
        result += word == "left" ? "right" : word == "right" ? "left" : word;
        if (end < sentence.size())
            result += ' ';
        begin = end + 1;
    }
    return result;
}

/// What training on pairs of pictures (NLVR2) does to half of its records (spec section 7.4): the
/// two pictures change places, and with them the words left and right of a sentence, which should
/// be cleaned before. Does nothing unless the record has two pictures.
inline void exchange_pair(TrainingRecord& record, RandomKey key) {
    if (record.pictures.size() != 2 || random_uniform(key, 0) >= 0.5)
        return;
    std::swap(record.pictures[0], record.pictures[1]);
    for (auto& sentence : record.captions)
        sentence = exchange_sides(sentence);
}

} // namespace blip
