#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include <blip/vision/image.hpp>

#include "scene.hpp"

namespace scenes {

namespace detail {

inline constexpr std::array<std::array<double, 3>, 8> paint{{{0.86, 0.10, 0.12},
                                                             {0.96, 0.53, 0.07},
                                                             {0.97, 0.90, 0.15},
                                                             {0.12, 0.62, 0.20},
                                                             {0.12, 0.28, 0.85},
                                                             {0.55, 0.16, 0.70},
                                                             {0.98, 0.98, 0.98},
                                                             {0.04, 0.04, 0.04}}};

/// Whether (x, y), in units of the object's radius and turned with it, lies in the shape.
inline bool is_inside(int shape, double x, double y) {
    switch (shape) {
    case 0: // circle
        return x * x + y * y <= 0.9;
    case 1: // square
        return std::max(std::abs(x), std::abs(y)) <= 0.8;
    case 2: // triangle
        return y <= 0.75 && y >= -0.95 && std::abs(x) <= (y + 0.95) * 0.56;
    case 3: { // star of five points: within two edges of the sector that the point lies in
        double const radius = std::hypot(x, y);
        double const fifth = 2 * std::numbers::pi / 5;
        double angle = std::fmod(std::atan2(x, -y) + 20 * fifth, fifth);
        angle = std::min(angle, fifth - angle); // from the nearest point of the star
        double const outer = 1.08, inner = 0.45;
        double const px = radius * std::cos(angle), py = radius * std::sin(angle);
        double const ix = inner * std::cos(fifth / 2), iy = inner * std::sin(fifth / 2);
        return (ix - outer) * py - iy * (px - outer) >= 0;
    }
    case 4: // cross
        return std::min(std::abs(x), std::abs(y)) <= 0.3 &&
               std::max(std::abs(x), std::abs(y)) <= 0.95;
    default: // diamond
        return std::abs(x) * 1.25 + std::abs(y) <= 1.05;
    }
}

} // namespace detail

/// The picture of a scene, `side` x `side` pixels, edges smoothed by 4 x 4 samples a pixel.
inline blip::Image draw(Scene const& scene, std::size_t side) {
    struct Placed {
        Object object;
        double radius, cosine, sine;
    };
    std::vector<Placed> placed;
    for (auto const& object : scene.objects)
        placed.push_back({object, object.size == 0 ? 0.125 : 0.215, std::cos(object.turn),
                          std::sin(object.turn)});
    auto image = blip::make_image({side, side});
    constexpr int samples = 4;
    for (std::size_t row = 0; row < side; ++row) {
        for (std::size_t column = 0; column < side; ++column) {
            std::array<double, 3> sum{};
            for (int sample = 0; sample < samples * samples; ++sample) {
                double const px =
                    (static_cast<double>(column) + (sample % samples + 0.5) / samples) /
                    static_cast<double>(side);
                double const py = (static_cast<double>(row) + (sample / samples + 0.5) / samples) /
                                  static_cast<double>(side);
                std::array<double, 3> color{scene.background, scene.background, scene.background};
                for (auto const& [object, radius, c, s] : placed) {
                    double const dx = (px - object.x) / radius, dy = (py - object.y) / radius;
                    if (std::max(std::abs(dx), std::abs(dy)) > 1.5)
                        continue;
                    if (detail::is_inside(object.shape, c * dx + s * dy, c * dy - s * dx))
                        color = detail::paint[static_cast<std::size_t>(object.color)];
                }
                for (std::size_t i = 0; i < 3; ++i)
                    sum[i] += color[i];
            }
            for (std::size_t i = 0; i < 3; ++i)
                image(row, column, i) =
                    static_cast<std::uint8_t>(std::lround(255 * sum[i] / (samples * samples)));
        }
    }
    return image;
}

} // namespace scenes
