#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <xtensor/xbuilder.hpp>
#include <xtensor/xtensor.hpp>

#include <blip/generate/top_entries.hpp>

namespace blip {

/// Scores of a whole collection, as the authors' evaluation computes them: of
/// pictures, or of clips in their place.
template <class T>
struct RetrievalScores {
    xt::xtensor<T, 2> cosine;        ///< [images, texts]
    xt::xtensor<T, 2> image_to_text; ///< [images, texts]: match logit + cosine, or -100
    xt::xtensor<T, 2> text_to_image; ///< [texts, images]
};

/// How many candidates of each row are ranked again; the paper: 256 for COCO, 128 for Flickr30K.
struct RankedCandidates {
    std::size_t texts = 256;  ///< of each picture
    std::size_t images = 256; ///< of each text
};

/// Match logits for the best candidates of each row of `cosine` and of each column, -100 for the
/// rest. `logits_of(image, texts)` gives the logits of one picture with several texts; it is called
/// once for a picture, with all texts that either direction needs. Of equal cosines the lower index
/// is the better candidate.
template <class T, class LogitsOf>
RetrievalScores<T> rank_candidates(xt::xtensor<T, 2> cosine, RankedCandidates const& candidates,
                                   LogitsOf const& logits_of) {
    std::size_t const images = cosine.shape()[0], texts = cosine.shape()[1];
    constexpr T unranked = -100;
    enum : unsigned char { neither = 0, for_image = 1, for_text = 2 };
    xt::xtensor<unsigned char, 2> wanted =
        xt::zeros<unsigned char>(std::array<std::size_t, 2>{images, texts});
    if (candidates.texts > 0 && texts > 0) {
        TopEntries<T> best(std::min(candidates.texts, texts));
        for (std::size_t i = 0; i < images; ++i) {
            best.clear();
            best.offer({cosine.data() + i * texts, texts});
            for (auto const& entry : best.sorted())
                wanted(i, static_cast<std::size_t>(entry.index)) |= for_image;
        }
    }
    if (candidates.images > 0 && images > 0) {
        TopEntries<T> best(std::min(candidates.images, images));
        std::vector<T> column(images);
        for (std::size_t t = 0; t < texts; ++t) {
            for (std::size_t i = 0; i < images; ++i)
                column[i] = cosine(i, t);
            best.clear();
            best.offer(column);
            for (auto const& entry : best.sorted())
                wanted(static_cast<std::size_t>(entry.index), t) |= for_text;
        }
    }
    RetrievalScores<T> scores{
        .cosine = {},
        .image_to_text = unranked * xt::ones<T>(std::array<std::size_t, 2>{images, texts}),
        .text_to_image = unranked * xt::ones<T>(std::array<std::size_t, 2>{texts, images})};
    std::vector<int> asked;
    for (std::size_t i = 0; i < images; ++i) {
        asked.clear();
        for (std::size_t t = 0; t < texts; ++t)
            if (wanted(i, t) != neither)
                asked.push_back(static_cast<int>(t));
        if (asked.empty())
            continue;
        std::vector<double> const logits = logits_of(i, std::span<int const>(asked));
        for (std::size_t j = 0; j < asked.size(); ++j) {
            auto const t = static_cast<std::size_t>(asked[j]);
            T const score = static_cast<T>(logits.at(j) + static_cast<double>(cosine(i, t)));
            if (wanted(i, t) & for_image)
                scores.image_to_text(i, t) = score;
            if (wanted(i, t) & for_text)
                scores.text_to_image(t, i) = score;
        }
    }
    scores.cosine = std::move(cosine);
    return scores;
}

} // namespace blip
