#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <xtensor/xtensor.hpp>

#include <blip/core/error.hpp>

namespace blip {

/// Which items belong together: for each row of a score matrix, the columns that are right.
using RelevantItems = std::vector<std::vector<std::size_t>>;

/// Share of rows with a right column among the best 1, 5 and 10, in percent, and more.
struct Recall {
    double at_1 = 0, at_5 = 0, at_10 = 0;
    double mean = 0;        ///< of the three
    double median_rank = 0; ///< of the best right column, counted from 1, as video papers report
};

/// Recalls of both directions, as the authors' evaluation reports them (spec of `txt_r1` ...).
struct RetrievalRecall {
    Recall texts;    ///< picture to text: any of a picture's texts counts
    Recall pictures; ///< text to picture
    double mean = 0; ///< of the two means; the authors choose their model by it
};

/// Position of `scores[index]` when sorted from the best, counted from 0. Of equal scores the
/// higher index comes first: the authors reverse an ascending stable sort, which decides about the
/// -100 of all that was not ranked. Throws ArgumentError for an index that is none, and for scores
/// that are no numbers.
template <class T>
std::size_t rank_among(std::span<T const> scores, std::size_t index) {
    if (index >= scores.size())
        throw ArgumentError(join("recall: item ", index, " of ", scores.size()));
    T const own = scores[index];
    std::size_t before = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
        if (std::isnan(scores[i]))
            throw ArgumentError(join("recall: score ", i, " is not a number"));
        before += scores[i] > own || (scores[i] == own && i > index) ? 1 : 0;
    }
    return before;
}

/// Recall over the rows of `scores`, [rows, columns]. Throws ArgumentError when a row has no right
/// column, or sizes differ.
template <class T>
Recall recall(xt::xtensor<T, 2> const& scores, RelevantItems const& relevant) {
    std::size_t const rows = scores.shape()[0], columns = scores.shape()[1];
    if (relevant.size() != rows || rows == 0)
        throw ArgumentError(
            join("recall: right answers for ", relevant.size(), " of ", rows, " rows"));
    std::vector<double> ranks;
    ranks.reserve(rows);
    for (std::size_t row = 0; row < rows; ++row) {
        if (relevant[row].empty())
            throw ArgumentError(join("recall: row ", row, " has no right answer"));
        std::span<T const> const line(scores.data() + row * columns, columns);
        std::size_t best = columns;
        for (auto const column : relevant[row])
            best = std::min(best, rank_among(line, column));
        ranks.push_back(static_cast<double>(best));
    }
    auto const within = [&](double most) {
        return 100 *
               static_cast<double>(std::count_if(ranks.begin(), ranks.end(),
                                                 [most](double rank) { return rank < most; })) /
               static_cast<double>(rows);
    };
    Recall result{.at_1 = within(1), .at_5 = within(5), .at_10 = within(10)};
    result.mean = (result.at_1 + result.at_5 + result.at_10) / 3;
    std::sort(ranks.begin(), ranks.end());
    result.median_rank = (ranks[(rows - 1) / 2] + ranks[rows / 2]) / 2 + 1;
    return result;
}

/// Recalls of `image_to_text` [images, texts] and `text_to_image` [texts, images].
/// `image_of_text`: the picture that each text describes. Throws ArgumentError.
template <class T>
RetrievalRecall retrieval_recall(xt::xtensor<T, 2> const& image_to_text,
                                 xt::xtensor<T, 2> const& text_to_image,
                                 std::span<std::size_t const> image_of_text) {
    RelevantItems texts(image_to_text.shape()[0]), pictures;
    for (std::size_t text = 0; text < image_of_text.size(); ++text) {
        if (image_of_text[text] >= texts.size())
            throw ArgumentError(join("recall: text ", text, " describes picture ",
                                     image_of_text[text], " of ", texts.size()));
        texts[image_of_text[text]].push_back(text);
        pictures.push_back({image_of_text[text]});
    }
    RetrievalRecall result{.texts = recall(image_to_text, texts),
                           .pictures = recall(text_to_image, pictures)};
    result.mean = (result.texts.mean + result.pictures.mean) / 2;
    return result;
}

} // namespace blip
