#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include <blip/core/error.hpp>
#include <blip/core/tokens.hpp>
#include <blip/vision/frames.hpp>
#include <blip/vision/preprocess.hpp>

namespace blip {

/// How many clips of `each` frames the pictures are. Throws ArgumentError when it is no whole
/// number. `who` begins the message: "video retriever".
inline std::size_t clip_count(Pixels const& frames, std::size_t each, std::string_view who) {
    auto const count = frames.shape()[0];
    if (each < 1 || count % each != 0)
        throw ArgumentError(
            join(who, ": ", count, " frames are no whole number of clips of ", each, " frames"));
    return count / each;
}

/// States of clips from those of their frames: the frames' rows follow one another, without any
/// mark of time (paper section 5.6). A view, [clips, each * length, Width].
template <int Width, class B>
Tokens<Width, B> joined_frames(Tokens<Width, B> frames, std::size_t each) {
    int const count = static_cast<int>(each);
    return {frames.data, frames.batch / count, frames.length * count};
}

/// `wanted` frames of a clip (0: all), sampled as `sample_frames` says, as a vision network takes
/// them. Throws ArgumentError when there are no frames.
inline Pixels clip_pixels(std::span<Image const> frames, std::size_t wanted,
                          Preprocess const& how) {
    if (frames.empty())
        throw ArgumentError("a clip without frames; expected at least one");
    if (wanted == 0)
        return preprocess(frames, how);
    Pixels pixels(Pixels::shape_type{wanted, 3, how.size, how.size});
    std::size_t const size = preprocessed_size(how);
    auto const numbers = sample_frames(frames.size(), wanted);
    for (std::size_t i = 0; i < wanted; ++i)
        preprocess(frames[numbers[i]], how, {pixels.data() + i * size, size});
    return pixels;
}

} // namespace blip
