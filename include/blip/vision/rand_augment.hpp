#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>
#include <blip/vision/affine.hpp>
#include <blip/vision/image.hpp>

namespace blip {

/// The operations of RandAugment. The first ten are the ones that BLIP's training draws from (spec
/// section 5.2), in the order in which the release lists them.
enum class AugmentOperation {
    identity,
    auto_contrast,
    brightness,
    sharpness,
    equalize,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    rotate,
    solarize,
    posterize,
    color,
    contrast
};

inline constexpr std::array trained_operations{
    AugmentOperation::identity,  AugmentOperation::auto_contrast, AugmentOperation::brightness,
    AugmentOperation::sharpness, AugmentOperation::equalize,      AugmentOperation::shear_x,
    AugmentOperation::shear_y,   AugmentOperation::translate_x,   AugmentOperation::translate_y,
    AugmentOperation::rotate};

/// How contrast is stretched.
enum class AutoContrast {
    as_released, ///< the release negates the darkest value in eight bits, so that a channel without
                 ///< black becomes all 255: what the published models were trained with
    intended     ///< every channel from its darkest to its lightest value becomes 0 to 255
};

/// Draws of RandAugment; the defaults are those of every BLIP recipe: RandAugment(2, 5).
struct RandAugmentOptions {
    int operations = 2;       ///< drawn for each picture, with replacement
    double level = 5;         ///< how strong, 0 to 10
    double probability = 0.5; ///< with which a drawn operation is carried out
    std::span<AugmentOperation const> choices = trained_operations;
    AutoContrast auto_contrast = AutoContrast::as_released;
};

namespace operations {

using ByteTable = std::array<std::uint8_t, 256>;

/// Every value of `image` replaced by its entry in the table of its channel.
inline Image look_up(Image image, std::array<ByteTable, 3> const& tables) {
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = tables[i % 3][image.data()[i]];
    return image;
}

/// A table of `value(v)`, clamped to 0..255 and cut off to whole numbers.
template <class Value>
ByteTable table_of(Value const& value) {
    ByteTable table;
    for (std::size_t v = 0; v < table.size(); ++v)
        table[v] = static_cast<std::uint8_t>(
            std::clamp(static_cast<double>(value(static_cast<int>(v))), 0.0, 255.0));
    return table;
}

/// Each channel's contrast stretched to the whole range.
inline Image auto_contrast(Image const& image, AutoContrast how = AutoContrast::as_released) {
    std::array<std::uint8_t, 3> low{255, 255, 255}, high{0, 0, 0};
    for (std::size_t i = 0; i < image.size(); ++i) {
        low[i % 3] = std::min(low[i % 3], image.data()[i]);
        high[i % 3] = std::max(high[i % 3], image.data()[i]);
    }
    std::array<ByteTable, 3> tables;
    for (std::size_t c = 0; c < 3; ++c) {
        double const scale = high[c] > low[c] ? 255.0 / (high[c] - low[c]) : 1;
        int const negated = how == AutoContrast::as_released ? (256 - low[c]) % 256 : -low[c];
        double const offset = high[c] > low[c] ? negated * scale : 0;
        tables[c] = table_of([&](int v) { return v * scale + offset; });
    }
    return look_up(image, tables);
}

/// Each channel's histogram evened out.
inline Image equalize(Image const& image) {
    std::array<std::array<std::int64_t, 256>, 3> histograms{};
    for (std::size_t i = 0; i < image.size(); ++i)
        ++histograms[i % 3][image.data()[i]];
    std::array<ByteTable, 3> tables;
    for (std::size_t c = 0; c < 3; ++c) {
        auto const& histogram = histograms[c];
        std::int64_t sum = 0, last = 0;
        for (auto const count : histogram)
            if (count != 0)
                sum += last, last = count;
        std::int64_t const step = sum / 255;
        std::int64_t below = step / 2;
        for (std::size_t v = 0; v < 256; below += histogram[v++])
            tables[c][v] =
                static_cast<std::uint8_t>(step == 0 ? static_cast<std::int64_t>(v)
                                                    : std::min<std::int64_t>(below / step, 255));
    }
    return look_up(image, tables);
}

/// Values times `factor`.
inline Image brightness(Image const& image, double factor) {
    auto const f = static_cast<float>(factor);
    auto const table = table_of([f](int v) { return static_cast<float>(v) * f; });
    return look_up(image, {table, table, table});
}

/// Values moved away from (factor > 1) or towards the picture's mean grey. As in the release, the
/// weights of red and blue are exchanged in that mean.
inline Image contrast(Image const& image, double factor) {
    std::array<double, 3> sums{};
    for (std::size_t i = 0; i < image.size(); ++i)
        sums[i % 3] += image.data()[i];
    auto const count = static_cast<double>(image.size() / 3);
    double const mean = sums[0] / count * 0.114 + sums[1] / count * 0.587 + sums[2] / count * 0.299;
    auto const table = table_of([&](int v) { return (v - mean) * factor + mean; });
    return look_up(image, {table, table, table});
}

/// Every pixel moved away from (factor > 1) or towards its grey. As in the release, the weights of
/// red and blue are exchanged in that grey.
inline Image color(Image image, double factor) {
    constexpr std::array<float, 3> weights{0.114f, 0.587f, 0.299f};
    constexpr float away[3][3] = {
        {0.886f, -0.114f, -0.114f}, {-0.587f, 0.413f, -0.587f}, {-0.299f, -0.299f, 0.701f}};
    float mix[3][3];
    for (std::size_t from = 0; from < 3; ++from)
        for (std::size_t to = 0; to < 3; ++to) {
            float const scaled = away[from][to] * static_cast<float>(factor);
            mix[from][to] = scaled + weights[from];
        }
    for (std::uint8_t* pixel = image.data(); pixel != image.data() + image.size(); pixel += 3) {
        std::array<float, 3> sums{};
        for (std::size_t from = 0; from < 3; ++from)
            for (std::size_t to = 0; to < 3; ++to)
                sums[to] += static_cast<float>(pixel[from]) * mix[from][to];
        for (std::size_t to = 0; to < 3; ++to)
            pixel[to] = static_cast<std::uint8_t>(std::clamp(sums[to], 0.0f, 255.0f));
    }
    return image;
}

/// Every pixel but those at the border moved away from (factor > 1) or towards the smoothed
/// picture (3 x 3 pixels, the middle one five times). As in the release, values are cut to eight
/// bits without clamping: what leaves 0..255 comes back in at the other end.
inline Image sharpness(Image const& image, double factor) {
    auto const [height, width] = image_size(image);
    auto const f = static_cast<float>(factor);
    Image result = image;
    if (f == 1.0f)
        return result;
    std::size_t const row = 3 * width;
    for (std::size_t y = 1; y + 1 < height; ++y)
        for (std::size_t i = 3; i + 3 < row; ++i) {
            std::uint8_t const* const at = image.data() + y * row + i;
            int sum = 4 * *at;
            for (std::uint8_t const* line : {at - row, at, at + row})
                sum += line[-3] + line[0] + line[3];
            auto const smooth = static_cast<float>((2 * sum + 13) / 26);
            // By way of double, which holds the product exactly: no compiler may fuse the two
            // steps.
            auto const change = static_cast<float>(static_cast<double>(f) * (*at - smooth));
            float const moved = smooth + change;
            result.data()[y * row + i] = static_cast<std::uint8_t>(static_cast<int>(moved));
        }
    return result;
}

/// Values from `threshold` on inverted.
inline Image solarize(Image const& image, int threshold) {
    auto const table = table_of([&](int v) { return v < threshold ? v : 255 - v; });
    return look_up(image, {table, table, table});
}

/// Only the `bits` highest bits of every value kept, 0 to 8.
inline Image posterize(Image const& image, int bits) {
    int const mask = 0xFF & ~(0xFF >> std::clamp(bits, 0, 8));
    auto const table = table_of([&](int v) { return v & mask; });
    return look_up(image, {table, table, table});
}

/// Each row moved by `share` of its distance from the top.
inline Image shear_x(Image const& image, double share) {
    return warp_affine(image, {1, static_cast<float>(share), 0, 0, 1, 0});
}

/// Each column moved by `share` of its distance from the left.
inline Image shear_y(Image const& image, double share) {
    return warp_affine(image, {1, 0, 0, static_cast<float>(share), 1, 0});
}

/// Moved to the left by `pixels`.
inline Image translate_x(Image const& image, double pixels) {
    return warp_affine(image, {1, 0, -static_cast<float>(pixels), 0, 1, 0});
}

/// Moved up by `pixels`.
inline Image translate_y(Image const& image, double pixels) {
    return warp_affine(image, {1, 0, 0, 0, 1, -static_cast<float>(pixels)});
}

/// Turned counter-clockwise about the middle.
inline Image rotate(Image const& image, double degrees) {
    return warp_affine(image, rotation_about_middle(image_size(image), degrees));
}

} // namespace operations

/// Whether an operation has a direction, which one more random number decides.
constexpr bool has_sign(AugmentOperation operation) {
    return operation >= AugmentOperation::shear_x && operation <= AugmentOperation::rotate;
}

/// Carries out one operation at `level` (0 to 10). `uniform` in [0, 1) decides the direction of
/// those that have one: shear and translation go the other way above 0.5, a rotation below.
/// @throws ArgumentError for a level outside 0 to 10 or an empty image.
inline Image apply_operation(Image const& image, AugmentOperation operation, double level,
                             double uniform, AutoContrast stretch = AutoContrast::as_released) {
    using enum AugmentOperation;
    if (!(level >= 0 && level <= 10))
        throw ArgumentError(join("RandAugment: level ", level, "; expected 0 to 10"));
    image_size(image);
    double const share = level / 10;
    double const factor = share * 1.8 + 0.1;
    double const sign = uniform > 0.5 ? -1 : 1;
    switch (operation) {
    case identity:
        return image;
    case AugmentOperation::auto_contrast:
        return operations::auto_contrast(image, stretch);
    case brightness:
        return operations::brightness(image, factor);
    case sharpness:
        return operations::sharpness(image, factor);
    case equalize:
        return operations::equalize(image);
    case shear_x:
        return operations::shear_x(image, sign * share * 0.3);
    case shear_y:
        return operations::shear_y(image, sign * share * 0.3);
    case translate_x:
        return operations::translate_x(image, sign * share * 10);
    case translate_y:
        return operations::translate_y(image, sign * share * 10);
    case rotate:
        return operations::rotate(image, (uniform < 0.5 ? -1 : 1) * share * 30);
    case solarize:
        return operations::solarize(image, static_cast<int>(share * 256));
    case posterize:
        return operations::posterize(image, static_cast<int>(share * 4));
    case color:
        return operations::color(image, factor);
    case contrast:
        return operations::contrast(image, factor);
    }
    throw ArgumentError("RandAugment: there is no such operation");
}

/// RandAugment (Cubuk et al. 2020) as BLIP's release does it: operations are drawn, then each is
/// carried out with the option's probability. `draw()` gives the next uniform number: for each
/// operation one for whether, and if so and it has a direction one more.
template <class Draw>
Image rand_augment(Image image, std::span<AugmentOperation const> operations,
                   RandAugmentOptions const& options, Draw&& draw) {
    for (auto const operation : operations) {
        if (draw() > options.probability)
            continue;
        double const uniform = has_sign(operation) ? draw() : 0;
        image = apply_operation(image, operation, options.level, uniform, options.auto_contrast);
    }
    return image;
}

/// The same with everything drawn from `key`.
/// @throws ArgumentError when there is nothing to choose from, or the level is outside 0 to 10.
inline Image rand_augment(Image image, RandAugmentOptions const& options, RandomKey key) {
    if (options.choices.empty() || options.operations < 0)
        throw ArgumentError(join("RandAugment: ", options.operations, " operations of ",
                                 options.choices.size(), "; expected choices, and none or more"));
    std::uint64_t next = 0;
    auto const draw = [&] { return random_uniform(key, next++); };
    std::vector<AugmentOperation> operations;
    for (int i = 0; i < options.operations; ++i)
        operations.push_back(options.choices[static_cast<std::size_t>(
            draw() * static_cast<double>(options.choices.size()))]);
    return rand_augment(std::move(image), operations, options, draw);
}

} // namespace blip
