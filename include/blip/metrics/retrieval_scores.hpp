#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <xtensor/xtensor.hpp>

#include <blip/models/candidate_scores.hpp>
#include <blip/models/matching_model.hpp>
#include <blip/models/stored_states.hpp>

namespace blip {

/// [rows, columns] of products of `left` [rows, width] with `right` [columns, width].
template <class T>
xt::xtensor<T, 2> cosine_matrix(std::span<T const> left, std::span<T const> right,
                                std::size_t width) {
    std::size_t const rows = left.size() / width, columns = right.size() / width;
    xt::xtensor<T, 2> cosine(std::array<std::size_t, 2>{rows, columns});
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < columns; ++c) {
            double sum = 0;
            for (std::size_t k = 0; k < width; ++k)
                sum += static_cast<double>(left[r * width + k]) *
                       static_cast<double>(right[c * width + k]);
            cosine(r, c) = static_cast<T>(sum);
        }
    return cosine;
}

/// The whole evaluation of image-text retrieval: features of all texts and of `images` pictures,
/// cosines, and match logits of the candidates. `pixels(first, count)` gives pictures as pixels
/// [count, 3, size, size]; it is asked twice, unless `states` holds what the image encoder makes of
/// them. Memory: the features and three matrices; no picture's states but one's.
template <class T, class C, class B, class PixelsOf>
RetrievalScores<T> retrieval_scores(MatchingModel<C, B> const& model, std::size_t images,
                                    PixelsOf const& pixels, TokenBatch const& texts,
                                    RankedCandidates const& candidates = {},
                                    StoredStates const* states = nullptr, std::size_t batch = 8) {
    std::vector<T> image_features;
    for (std::size_t first = 0; first < images; first += batch) {
        auto const some =
            model.template image_features<T>(pixels(first, std::min(batch, images - first)));
        image_features.insert(image_features.end(), some.begin(), some.end());
    }
    std::vector<T> const text_features = model.template text_features<T>(texts);
    std::vector<float> kept(states ? model.tokens * model.width : 0);
    return rank_candidates(
        cosine_matrix<T>(image_features, text_features, static_cast<std::size_t>(C::projection)),
        candidates, [&](std::size_t image, std::span<int const> asked) {
            auto const some = texts.select(asked);
            if (!states)
                return model.match_logits(pixels(image, std::size_t{1}), some);
            states->read(static_cast<std::int64_t>(image), kept);
            return model.match_logits(std::span<float const>(kept), some);
        });
}

} // namespace blip
