#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>

namespace blip {

/// Members of the local batch drawn as hard negatives, one for each of the batch.
struct Negatives {
    std::vector<int> image_for_text; ///< the picture that text b is wrongly paired with
    std::vector<int> text_for_image; ///< the text that picture b is wrongly paired with
};

/// How likely each member of a batch is drawn as the negative of each other one (paper section 3.2,
/// ITM, "hard negative mining"): softmax of the row's similarities (already divided by the
/// temperature) plus `floor`, and 0 where ids are equal. Soft-max comes before masking and is not
/// renewed; but a row whose weights all underflow keeps its proportions, where the authors' release
/// has nothing to draw from. `similarities` and the result are [n, n], row-major.
inline std::vector<double> negative_weights(std::span<double const> similarities,
                                            std::span<std::int64_t const> ids, double floor) {
    std::size_t const n = ids.size();
    if (similarities.size() != n * n)
        throw ArgumentError(join("hard negatives: ", similarities.size(), " similarities for ", n,
                                 " ids; expected ", n * n));
    std::vector<double> weights(n * n);
    for (std::size_t r = 0; r < n; ++r) {
        auto const row = similarities.subspan(r * n, n);
        double const most = *std::max_element(row.begin(), row.end());
        double sum = 0;
        for (double const s : row)
            sum += std::exp(s - most);
        double total = 0, nearest = -HUGE_VAL;
        for (std::size_t c = 0; c < n; ++c)
            if (ids[r] != ids[c]) {
                total += weights[r * n + c] = std::exp(row[c] - most) / sum + floor;
                nearest = std::max(nearest, row[c]);
            }
        // Where all underflow, beside a positive that is much nearer, their proportions are kept.
        if (total == 0 && std::isfinite(nearest))
            for (std::size_t c = 0; c < n; ++c)
                if (ids[r] != ids[c])
                    weights[r * n + c] = std::exp(row[c] - nearest);
    }
    return weights;
}

/// One index for each row of `weights` [n, n], drawn in proportion to them; row r uses number r of
/// the stream `key`. Throws ArgumentError when a row has nothing to draw from.
inline std::vector<int> draw_negatives(std::span<double const> weights, std::size_t n,
                                       RandomKey key) {
    std::vector<int> chosen;
    for (std::size_t r = 0; r < n; ++r) {
        auto const row = weights.subspan(r * n, n);
        double total = 0;
        for (double const w : row)
            total += w;
        if (!(total > 0) || !std::isfinite(total))
            throw ArgumentError(join("hard negatives: sample ", r, " of ", n,
                                     " has no negative in its batch; a batch needs at least two "
                                     "different pictures, and finite weights"));
        double left = random_uniform(key, r) * total;
        std::size_t last = 0, pick = n;
        for (std::size_t c = 0; c < n && pick == n; ++c) {
            if (!(row[c] > 0))
                continue;
            last = c;
            left -= row[c];
            if (left < 0)
                pick = c;
        }
        // Rounding may leave a rest after the last candidate.
        chosen.push_back(static_cast<int>(pick == n ? last : pick));
    }
    return chosen;
}

} // namespace blip
