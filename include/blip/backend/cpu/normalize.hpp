#pragma once

#include <cmath>
#include <cstddef>

#include <blip/backend/cpu/engine.hpp>
#include <blip/backend/cpu/simd.hpp>

namespace blip::cpu {
inline namespace BLIP_CPU_TARGET {

/// Rows of floats with a stride.
struct Rows {
    float* data = nullptr;
    std::size_t stride = 0;
    float* operator[](std::size_t row) const { return data + row * stride; }
};

/// The same, read only.
struct ConstRows {
    float const* data = nullptr;
    std::size_t stride = 0;
    float const* operator[](std::size_t row) const { return data + row * stride; }
};

/// Factors and offsets of a layer normalisation, and what it may leave for backward.
struct LayerNorm {
    float const* scale = nullptr;
    float const* shift = nullptr;
    double epsilon = 0;
    float* sum = nullptr;        ///< contiguous; receives what was normalised, where not null
    float* statistics = nullptr; ///< [rows, 2]: mean, 1/√(variance + epsilon), where not null
};

namespace detail {

/// Mean of term(column) over a row, summed lane by lane in the order of the columns.
template <class Term>
BLIP_CPU_INLINE float row_mean(std::size_t width, Term term) {
    Floats total = broadcast(0.0f);
    for (std::size_t c = 0; c < width; c += lanes)
        total = total + term(c, first_lanes(width - c));
    return sum(total) / static_cast<float>(width);
}

} // namespace detail

/// Each row of s = x (+ residual): y = (s - mean) / √(variance + ε) scale + shift, with the biased
/// variance, taken around the mean in a second pass.
inline void layer_norm(Engine& engine, std::size_t rows, std::size_t width, ConstRows x,
                       ConstRows residual, LayerNorm const& norm, Rows y) {
    engine.parallel_ranges(rows, 16384 / width + 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            float const* from = x[r];
            float* const to = y[r];
            if (residual.data != nullptr || norm.sum != nullptr) {
                float* const s = norm.sum != nullptr ? norm.sum + r * width : to;
                for (std::size_t c = 0; c < width; c += lanes) {
                    Mask const mask = first_lanes(width - c);
                    Floats value = load(from + c, mask);
                    if (residual.data != nullptr)
                        value = value + load(residual[r] + c, mask);
                    store(s + c, value, mask);
                }
                from = s;
            }
            float const mean = detail::row_mean(
                width, [&](std::size_t c, Mask mask) { return load(from + c, mask); });
            Floats const center = broadcast(mean);
            float const variance = detail::row_mean(width, [&](std::size_t c, Mask mask) {
                Floats const d = select(mask, load(from + c, mask) - center, broadcast(0.0f));
                return d * d;
            });
            auto const inverse =
                static_cast<float>(1 / std::sqrt(static_cast<double>(variance) + norm.epsilon));
            Floats const factor = broadcast(inverse);
            for (std::size_t c = 0; c < width; c += lanes) {
                Mask const mask = first_lanes(width - c);
                Floats const unit = (load(from + c, mask) - center) * factor;
                store(to + c, fma(unit, load(norm.scale + c, mask), load(norm.shift + c, mask)),
                      mask);
            }
            if (norm.statistics != nullptr) {
                norm.statistics[2 * r] = mean;
                norm.statistics[2 * r + 1] = inverse;
            }
        }
    });
}

/// With x̂ = (s - mean)/σ and g = dy scale: dx = (g - mean(g) - x̂ mean(g x̂))/σ, dscale += Σ dy x̂,
/// dshift += Σ dy. dx may be dy.
inline void layer_norm_backward(Engine& engine, std::size_t rows, std::size_t width, ConstRows dy,
                                ConstRows s, float const* scale, float const* statistics, Rows dx,
                                float* dscale, float* dshift) {
    // Every column sums its rows in order, whoever does it: nothing depends on the threads.
    constexpr std::size_t slice = 4 * lanes;
    engine.parallel_ranges((width + slice - 1) / slice, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t part = begin * slice; part < end * slice && part < width; part += slice) {
            Floats scales[4];
            Floats shifts[4];
            Mask masks[4];
            for (std::size_t v = 0; v < 4; ++v) {
                std::size_t const c = part + v * lanes;
                masks[v] = first_lanes(c < width ? width - c : 0);
                scales[v] = load(dscale + part + v * lanes, masks[v]);
                shifts[v] = load(dshift + part + v * lanes, masks[v]);
            }
            for (std::size_t r = 0; r < rows; ++r) {
                Floats const mean = broadcast(statistics[2 * r]);
                Floats const inverse = broadcast(statistics[2 * r + 1]);
                for (std::size_t v = 0; v < 4; ++v) {
                    Floats const d = load(dy[r] + part + v * lanes, masks[v]);
                    Floats const unit = (load(s[r] + part + v * lanes, masks[v]) - mean) * inverse;
                    scales[v] = fma(d, unit, scales[v]);
                    shifts[v] = shifts[v] + d;
                }
            }
            for (std::size_t v = 0; v < 4; ++v) {
                store(dscale + part + v * lanes, scales[v], masks[v]);
                store(dshift + part + v * lanes, shifts[v], masks[v]);
            }
        }
    });
    engine.parallel_ranges(rows, 16384 / width + 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            float const* const g = dy[r];
            float const* const from = s[r];
            Floats const center = broadcast(statistics[2 * r]);
            Floats const inverse = broadcast(statistics[2 * r + 1]);
            auto const unit = [&](std::size_t c, Mask mask) {
                return (load(from + c, mask) - center) * inverse;
            };
            auto const slope = [&](std::size_t c, Mask mask) {
                return load(g + c, mask) * load(scale + c, mask);
            };
            Floats const mean = broadcast(detail::row_mean(width, slope));
            Floats const inner = broadcast(detail::row_mean(
                width, [&](std::size_t c, Mask mask) { return slope(c, mask) * unit(c, mask); }));
            for (std::size_t c = 0; c < width; c += lanes) {
                Mask const mask = first_lanes(width - c);
                Floats const centered = slope(c, mask) - mean;
                Floats const along = unit(c, mask) * inner;
                store(dx[r] + c, (centered - along) * inverse, mask);
            }
        }
    });
}

/// sums[c] += Σ over the rows of x[r][c], in the order of the rows.
inline void add_column_sums(Engine& engine, std::size_t rows, std::size_t width, ConstRows x,
                            float* sums) {
    // Several cache lines of a row at a time, as many as registers hold sums: processors foresee
    // runs, not single lines.
#if defined(__AVX512F__)
    constexpr std::size_t vectors = 8;
#else
    constexpr std::size_t vectors = 4;
#endif
    constexpr std::size_t slice = vectors * lanes;
    engine.parallel_ranges((width + slice - 1) / slice, 1, [&](std::size_t begin, std::size_t end) {
        for (std::size_t part = begin * slice; part < end * slice && part < width; part += slice) {
            Floats totals[vectors];
            Mask masks[vectors];
            for (std::size_t v = 0; v < vectors; ++v) {
                std::size_t const c = part + v * lanes;
                masks[v] = first_lanes(c < width ? width - c : 0);
                totals[v] = load(sums + c, masks[v]);
            }
            for (std::size_t r = 0; r < rows; ++r)
                for (std::size_t v = 0; v < vectors; ++v)
                    totals[v] = totals[v] + load(x[r] + part + v * lanes, masks[v]);
            for (std::size_t v = 0; v < vectors; ++v)
                store(sums + part + v * lanes, totals[v], masks[v]);
        }
    });
}

} // namespace BLIP_CPU_TARGET
} // namespace blip::cpu
