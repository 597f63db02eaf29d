#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/resize.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace blip {

/// How a picture becomes what the vision network takes: bicubic resize to `size` x `size` without
/// keeping the aspect ratio, then (value * rescale - mean) / std per channel. The defaults are
/// BLIP's: CLIP's mean and standard deviation, 384 pixels (pre-training used 224, VQA 480).
struct Preprocess {
    std::size_t size = 384;
    std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f};
    std::array<float, 3> std{0.26862954f, 0.26130258f, 0.27577711f};
    double rescale = 1.0 / 255.0;
};

/// Number of floats one preprocessed picture takes.
inline std::size_t preprocessed_size(Preprocess const& how) {
    return 3 * how.size * how.size;
}

/// Writes `image` as [3, size, size] normalised floats into `out`. The floats are bit for bit those
/// of torchvision's ToTensor and Normalize after Pillow's resize, and those of transformers' Pillow
/// image processor: scaling rounds to float once, then subtraction and division are float.
/// @throws ArgumentError when `out` does not hold preprocessed_size(how) floats, `how.size` is zero
/// or a `std` is zero.
inline void preprocess(Image const& image, Preprocess const& how, std::span<float> out) {
    if (out.size() != preprocessed_size(how))
        throw ArgumentError(join("A preprocessed picture takes 3 x ", how.size, " x ", how.size,
                                 " floats; the buffer holds ", out.size(), "."));
    std::array<std::array<float, 256>, 3> table{};
    for (std::size_t channel = 0; channel < 3; ++channel) {
        if (!(how.std[channel] > 0.0f))
            throw ArgumentError(join("Preprocess::std must be positive; found ", how.std[channel],
                                     " for channel ", channel, "."));
        for (std::size_t value = 0; value < 256; ++value) {
            auto const scaled = static_cast<float>(static_cast<double>(value) * how.rescale);
            table[channel][value] = (scaled - how.mean[channel]) / how.std[channel];
        }
    }
    Image const resized = resize_bicubic(image, {.height = how.size, .width = how.size});
    std::uint8_t const* values = resized.data();
    std::size_t const plane = how.size * how.size;
    for (std::size_t i = 0; i < plane; ++i)
        for (std::size_t channel = 0; channel < 3; ++channel)
            out[channel * plane + i] = table[channel][values[3 * i + channel]];
}

/// The preprocessed pictures as one batch, [images, 3, size, size].
/// @throws ArgumentError, see above
inline Pixels preprocess(std::span<Image const> images, Preprocess const& how = {}) {
    Pixels pixels(Pixels::shape_type{images.size(), 3, how.size, how.size});
    std::size_t const each = preprocessed_size(how);
    for (std::size_t i = 0; i < images.size(); ++i)
        preprocess(images[i], how, {pixels.data() + i * each, each});
    return pixels;
}

/// The preprocessed picture as a batch of one, [1, 3, size, size].
/// @throws ArgumentError, see above
inline Pixels preprocess(Image const& image, Preprocess const& how = {}) {
    return preprocess(std::span(&image, 1), how);
}

} // namespace blip
