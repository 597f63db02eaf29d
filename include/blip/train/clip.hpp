#pragma once

#include <cmath>

#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>

namespace blip {

/// The Euclidean norm of a gradient, of all parameters together; not a number, or infinite, where
/// one of its numbers is.
template <class Gradient>
double gradient_norm(typename Gradient::backend::Engine& engine,
                     Weights<Gradient> const& gradient) {
    return std::sqrt(Gradient::backend::sum_of_squares(engine, gradient.data(), gradient.size()));
}

/// Shortens `gradient` to a norm of `max_norm` where it is longer, as torch's clip_grad_norm_ does:
/// g ← g max_norm / (‖g‖ + 1e-6) where that factor is below 1. Returns the norm from before. One
/// that is not finite is returned too, and nothing is scaled: the caller must not step with such a
/// gradient. Throws ArgumentError unless max_norm > 0.
template <class Gradient>
double clip_gradient(typename Gradient::backend::Engine& engine, Weights<Gradient>& gradient,
                     double max_norm) {
    if (!(max_norm > 0))
        throw ArgumentError(
            join("clip_gradient: the largest norm is ", max_norm, ", expected a number above 0"));
    double const norm = gradient_norm(engine, gradient);
    double const factor = max_norm / (norm + 1e-6);
    if (std::isfinite(norm) && factor < 1)
        Gradient::backend::scale(engine, gradient.data(), factor, gradient.data(), gradient.size());
    return norm;
}

} // namespace blip
