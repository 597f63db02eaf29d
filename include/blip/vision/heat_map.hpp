#pragma once

#include <blip/core/error.hpp>
#include <blip/vision/image.hpp>
#include <blip/vision/resize.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace blip {

/// One number a place, [height, width].
using GridMap = xt::xtensor<float, 2>;

/// How a map is laid over a picture.
struct OverlayOptions {
    double blur = 0.02;  ///< standard deviation of the blur, in parts of the longer side; 0: none
    double power = 0.7;  ///< the colour's weight is (scaled map)^power
    double weight = 1.0; ///< and is multiplied by this, 0 to 1
};

namespace detail {

/// Side in pixels up to which maps are blurred at the size of their picture.
inline constexpr std::size_t longest_blurred = 2048;

/// Brings the least value to 0 and the greatest to 1; a map of equal values becomes 0.
inline void scale_to_unit(GridMap& map) {
    auto const [least, most] = std::minmax_element(map.begin(), map.end());
    float const from = *least, range = *most - *least;
    for (float& value : map)
        value = range > 0 ? (value - from) / range : 0;
}

/// Applies f(line, length, result) to every row of `map` [height, width] and gives the results as
/// the columns of a map [length of result, height]: twice, and both axes are done.
template <class F>
GridMap transposed_lines(GridMap const& map, std::size_t target, F const& f) {
    std::size_t const height = map.shape()[0], width = map.shape()[1];
    GridMap result(GridMap::shape_type{target, height});
    std::vector<float> line(target);
    for (std::size_t y = 0; y < height; ++y) {
        f(std::span(map.data() + y * width, width), std::span(line));
        for (std::size_t x = 0; x < target; ++x)
            result(x, y) = line[x];
    }
    return result;
}

/// Cubic interpolation (Keys, a = -1/2) between the centres of cells; the border repeats.
inline void interpolate_line(std::span<float const> from, std::span<float> to) {
    double const scale = static_cast<double>(from.size()) / static_cast<double>(to.size());
    auto const last = static_cast<std::ptrdiff_t>(from.size()) - 1;
    for (std::size_t i = 0; i < to.size(); ++i) {
        double const at = (static_cast<double>(i) + 0.5) * scale - 0.5;
        auto const first = static_cast<std::ptrdiff_t>(std::floor(at)) - 1;
        double sum = 0;
        for (std::ptrdiff_t tap = first; tap < first + 4; ++tap)
            sum += bicubic_kernel(at - static_cast<double>(tap)) *
                   static_cast<double>(
                       from[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(tap, 0, last))]);
        to[i] = static_cast<float>(sum);
    }
}

/// Gaussian of standard deviation `sigma`, cut at 4 of them; the border is mirrored.
class Blur {
public:
    explicit Blur(double sigma) : weights_(static_cast<std::size_t>(4 * sigma + 0.5) + 1) {
        double sum = 0;
        for (std::size_t i = 0; i < weights_.size(); ++i) {
            double const x = static_cast<double>(i) / sigma;
            weights_[i] = std::exp(-0.5 * x * x);
            sum += (i == 0 ? 1 : 2) * weights_[i];
        }
        for (double& weight : weights_)
            weight /= sum;
    }

    void operator()(std::span<float const> from, std::span<float> to) const {
        auto const count = static_cast<std::ptrdiff_t>(from.size());
        auto const mirrored = [&](std::ptrdiff_t i) {
            i = ((i % (2 * count)) + 2 * count) % (2 * count);
            return static_cast<double>(
                from[static_cast<std::size_t>(i < count ? i : 2 * count - 1 - i)]);
        };
        auto const radius = static_cast<std::ptrdiff_t>(weights_.size()) - 1;
        for (std::ptrdiff_t i = 0; i < count; ++i) {
            double sum = weights_[0] * mirrored(i);
            for (std::ptrdiff_t k = 1; k <= radius; ++k)
                sum += weights_[static_cast<std::size_t>(k)] * (mirrored(i - k) + mirrored(i + k));
            to[static_cast<std::size_t>(i)] = static_cast<float>(sum);
        }
    }

private:
    std::vector<double> weights_; ///< of offset 0, 1, ...
};

} // namespace detail

/// Red, green and blue, 0 to 1, of the "jet" colour map at x in [0, 1]: blue, cyan, yellow, red.
inline std::array<float, 3> jet_colour(float x) {
    struct Stop {
        float at, value;
    };
    static constexpr Stop red[] = {{0, 0}, {0.35f, 0}, {0.66f, 1}, {0.89f, 1}, {1, 0.5f}};
    static constexpr Stop green[] = {{0, 0},     {0.125f, 0}, {0.375f, 1},
                                     {0.64f, 1}, {0.91f, 0},  {1, 0}};
    static constexpr Stop blue[] = {{0, 0.5f}, {0.11f, 1}, {0.34f, 1}, {0.65f, 0}, {1, 0}};
    auto const at = [x](std::span<Stop const> stops) {
        std::size_t i = 1;
        while (i + 1 < stops.size() && stops[i].at < x)
            ++i;
        auto const &a = stops[i - 1], &b = stops[i];
        return a.value + (b.value - a.value) * std::clamp((x - a.at) / (b.at - a.at), 0.0f, 1.0f);
    };
    return {at(red), at(green), at(blue)};
}

/// `map` at the size of a picture, from 0 to 1: scaled, enlarged by cubic interpolation, blurred
/// and scaled again; for pictures of more than 2048 pixels a side it is enlarged once more after
/// the blur. Throws ArgumentError for an empty map or one with numbers that are not finite.
inline GridMap spread_map(GridMap map, ImageSize size, OverlayOptions const& options = {}) {
    if (map.size() == 0 || size.height == 0 || size.width == 0)
        throw ArgumentError(join("a heat map of ", map.shape()[0], " x ", map.shape()[1],
                                 " cells cannot be spread over ", size.height, " x ", size.width,
                                 " pixels"));
    if (!std::ranges::all_of(map, [](float value) { return std::isfinite(value); }))
        throw ArgumentError("a heat map must hold finite numbers");
    detail::scale_to_unit(map);
    auto const enlarge = [&map](ImageSize to) {
        map = detail::transposed_lines(map, to.width, detail::interpolate_line);
        map = detail::transposed_lines(map, to.height, detail::interpolate_line);
    };
    // The blur takes longer, the wider it is: a map for a very large picture is blurred smaller.
    std::size_t const longer = std::max(size.height, size.width);
    auto const reduced = [longer](std::size_t extent) {
        return longer <= detail::longest_blurred
                   ? extent
                   : std::max<std::size_t>(1, extent * detail::longest_blurred / longer);
    };
    ImageSize const blurred{reduced(size.height), reduced(size.width)};
    enlarge(blurred);
    double const sigma =
        options.blur * static_cast<double>(std::max(blurred.height, blurred.width));
    if (sigma > 0) {
        detail::Blur const blur(sigma);
        map = detail::transposed_lines(map, blurred.width, blur);
        map = detail::transposed_lines(map, blurred.height, blur);
    }
    if (longer > detail::longest_blurred)
        enlarge(size);
    detail::scale_to_unit(map);
    return map;
}

/// The picture with the map over it in colours, from blue (least) to red (most): (1 - w) picture +
/// w colour with w = m^0.7, m the map as `spread_map` makes it (the overlay of LAVIS). To be
/// written by `write_image`. Throws ArgumentError, see above.
inline Image overlay(Image const& image, GridMap const& map, OverlayOptions const& options = {}) {
    if (!(options.weight >= 0 && options.weight <= 1) || !(options.blur >= 0) ||
        !(options.power > 0))
        throw ArgumentError(join("overlay: blur is ", options.blur, ", power ", options.power,
                                 ", weight ", options.weight,
                                 "; expected at least 0, more than 0, and 0 to 1"));
    auto const size = image_size(image);
    auto const spread = spread_map(map, size, options);
    Image result = make_image(size);
    for (std::size_t i = 0; i < size.height * size.width; ++i) {
        float const m = spread.data()[i];
        auto const w =
            static_cast<float>(options.weight * std::pow(static_cast<double>(m), options.power));
        auto const colour = jet_colour(m);
        for (std::size_t c = 0; c < 3; ++c) {
            float const mixed =
                (1 - w) * static_cast<float>(image.data()[3 * i + c]) + w * 255 * colour[c];
            result.data()[3 * i + c] =
                static_cast<std::uint8_t>(std::clamp(std::lround(mixed), 0L, 255L));
        }
    }
    return result;
}

} // namespace blip
