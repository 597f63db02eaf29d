#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/vision/picture_name.hpp>
#include <blip/vision/read_image.hpp>
#include <blip/vision/video.hpp>

namespace blip {

/// Which `wanted` frames of a clip stand for it, as in the authors' release (paper section 5.6):
/// 0, step, 2 step, ... with step = floor(frames / wanted). A clip of fewer frames than wanted
/// gives its first, `wanted` times. Throws ArgumentError unless both are at least 1.
inline std::vector<std::size_t> sample_frames(std::size_t frames, std::size_t wanted) {
    if (frames < 1 || wanted < 1)
        throw ArgumentError(join("sample_frames: ", wanted, " frames of a clip of ", frames,
                                 "; expected at least one of each"));
    std::vector<std::size_t> numbers(wanted);
    for (std::size_t i = 0; i < wanted; ++i)
        numbers[i] = i * (frames / wanted);
    return numbers;
}

/// How the frames of a clip are read.
struct FrameOptions {
    std::size_t wanted =
        8;              ///< frames, uniformly sampled; 0: all. Retrieval 8, question answering 16
    ReadOptions read{}; ///< limits of every picture
    /// Most bytes that all wanted frames may take together when decoded.
    std::size_t max_total_bytes = std::size_t{4} << 30;
};

namespace detail {

/// Collects wanted frames of a clip as they pass by.
class FrameCollector {
public:
    FrameCollector(std::string name, std::size_t frames, FrameOptions const& options)
        : name_(std::move(name)), left_(options.max_total_bytes) {
        if (options.wanted > 0) {
            numbers_ = sample_frames(frames, options.wanted);
        } else {
            numbers_.resize(frames);
            for (std::size_t i = 0; i < frames; ++i)
                numbers_[i] = i;
        }
    }

    /// Whether the frame that comes next is wanted.
    bool wants_next() const { return !done() && numbers_[taken_.size()] == next_; }
    /// Frames that passed by.
    std::size_t seen() const { return next_; }
    bool done() const { return taken_.size() == numbers_.size(); }

    /// The frame that comes next; `image` is looked at only if it is wanted. False: no more needed.
    bool add(Image const& image) {
        for (; wants_next(); taken_.push_back(image)) {
            if (image.size() > left_)
                throw LimitError(join(name_, ": its frames take more memory than the limit allows. "
                                             "Ask for fewer frames, or raise "
                                             "FrameOptions::max_total_bytes."));
            left_ -= image.size();
        }
        ++next_;
        return !done();
    }

    /// Throws FormatError when the clip ended before its last wanted frame.
    std::vector<Image> take() {
        if (!done())
            throw FormatError(join(name_, ": it ends after ", next_, " frames, before frame ",
                                   numbers_[taken_.size()], ". It is truncated or damaged."));
        return std::move(taken_);
    }

private:
    std::string name_;
    std::size_t left_;
    std::size_t next_ = 0;
    std::vector<std::size_t> numbers_;
    std::vector<Image> taken_;
};

inline std::vector<Image> read_folder_frames(std::filesystem::path const& folder,
                                             FrameOptions const& options) {
    std::vector<std::string> names;
    std::error_code failure;
    std::filesystem::directory_iterator entries(folder, failure);
    for (; !failure && entries != std::filesystem::directory_iterator(); entries.increment(failure))
        if (auto const name = entries->path().filename().string();
            name.front() != '.' && has_picture_name(name)) {
            // A link to nothing is listed: reading it says what is wrong, leaving it out would not.
            std::error_code unknown;
            if (!entries->is_directory(unknown))
                names.push_back(name);
        }
    if (failure)
        throw FileError(join(folder.string(), ": cannot list the folder: ", failure.message()));
    if (names.empty())
        throw FileError(join(folder.string(), ": no pictures in this folder; expected the frames "
                                              "of a clip, numbered by name"));
    std::sort(names.begin(), names.end(), natural_less);
    FrameCollector frames(folder.string(), names.size(), options);
    Image const none;
    for (auto const& name : names)
        if (!frames.add(frames.wants_next() ? read_image(folder / name, options.read) : none))
            break;
    return frames.take();
}

inline std::vector<Image> decode_frames(EncodedImage const& encoded, FrameOptions const& options) {
    require_some_bytes(encoded, options.read);
    auto const collect = [&](std::size_t count, auto const& decode) {
        FrameCollector frames(encoded.name, count, options);
        decode(encoded, options.read, [&](Image const& image) { return frames.add(image); });
        return frames.take();
    };
    switch (recognise_picture(encoded.bytes)) {
    case PictureFormat::gif:
        return collect(std::max<std::size_t>(count_gif_frames(encoded), 1),
                       [](auto const&... a) { decode_gif_frames(a...); });
    case PictureFormat::webp:
        return collect(count_webp_frames(encoded),
                       [](auto const&... a) { decode_webp_frames(a...); });
    default:
        return collect(1,
                       [](auto const& e, auto const& o, auto const& f) { f(decode_image(e, o)); });
    }
}

} // namespace detail

/// The frames of an animated GIF or WebP held in memory, each as it is shown; a still picture is a
/// clip of one frame.
/// @throws FormatError, LimitError
inline std::vector<Image> decode_frames(std::span<std::byte const> bytes,
                                        FrameOptions const& options = {}) {
    return detail::decode_frames({bytes, "The animation in memory"}, options);
}

/// The sampled frames of a clip: of a folder of pictures in the order people number them
/// ("frame9.png" before "frame10.png"), of an animated GIF or WebP, or of a video file where the
/// build has libav. A still picture is a clip of one frame.
/// @throws FileError when it cannot be read or holds no frames, FormatError, LimitError
inline std::vector<Image> read_frames(std::filesystem::path const& path,
                                      FrameOptions const& options = {}) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
        return detail::read_folder_frames(path, options);
    std::vector<std::byte> head(32);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(head.data()), static_cast<std::streamsize>(head.size()));
    head.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
    // Films are recognised by libav; what is missing or empty gets the message of pictures.
    if (!head.empty() && detail::recognise_picture(head) == detail::PictureFormat::unknown) {
        detail::VideoReader video(path, options.read);
        // A packet may hold no frame that is shown; then the count is what decoding found.
        for (std::size_t count = video.count_packets();;) {
            detail::FrameCollector frames(path.string(), count, options);
            video.decode([&] { return frames.wants_next(); },
                         [&](Image const& image) { return frames.add(image); });
            if (frames.done() || frames.seen() == 0 || frames.seen() >= count)
                return frames.take();
            count = frames.seen();
        }
    }
    auto const bytes = detail::read_picture_file(path, options.read.max_bytes);
    return detail::decode_frames({bytes, path.string()}, options);
}

} // namespace blip
