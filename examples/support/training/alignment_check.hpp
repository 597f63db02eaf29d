#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <xtensor/xmanipulation.hpp>
#include <xtensor/xtensor.hpp>

#include <blip/metrics/recall.hpp>
#include <blip/models/candidate_scores.hpp>
#include <blip/text/cleaning.hpp>

#include "sample.hpp"
#include "trained_model.hpp"

namespace support {

/// How well pictures and texts find one another: recalls among groups of items (spec section 7.5;
/// a text is right for every picture that has it), and how often the match head tells a picture's
/// text from another picture's.
template <class Matcher>
class AlignmentCheck {
public:
    AlignmentCheck(Matcher const& matcher, TrainingPlan const& plan)
        : matcher_(matcher), plan_(plan) {}

    void add(std::vector<Sample> samples, blip::Pixels const& pixels) {
        auto states = matcher_.encode(pixels);
        std::vector<std::string> texts;
        for (auto const& sample : samples)
            texts.push_back(sample.text);
        auto const images = matcher_.image_embeddings(states);
        auto const sentences = matcher_.text_embeddings(texts);
        for (std::size_t i = 0; i < samples.size(); ++i) {
            auto item = std::move(samples[i]);
            item.pixels.clear();
            Item kept{.texts = references(item), .text = item.text};
            kept.image.assign(&images(i, 0), &images(i, 0) + images.shape()[1]);
            kept.sentence.assign(&sentences(i, 0), &sentences(i, 0) + sentences.shape()[1]);
            judge(kept, blip::items_of(states, i, 1), texts);
            if (plan_.rerank > 0)
                kept.states = blip::items_of(states, i, 1);
            group_.push_back(std::move(kept));
            if (group_.size() == static_cast<std::size_t>(plan_.recall_among))
                finish_group();
        }
    }

    /// The mean of all recalls first. What is left of a group counts too.
    std::vector<std::pair<std::string, double>> scores() {
        finish_group();
        if (items_ == 0)
            return {};
        return {{"recall mean", mean_ / items_},
                {"text R@1", text_ / items_},
                {"picture R@1", picture_ / items_},
                {"match", judged_ > 0 ? 100 * right_ / judged_ : 0}};
    }

private:
    using States = typename Matcher::States;

    struct Item {
        std::vector<std::string> texts; ///< every right one
        std::string text;               ///< the one that takes part
        std::vector<float> image{}, sentence{};
        States states{};
    };

    std::vector<std::string> references(Sample const& sample) const {
        std::vector<std::string> texts{sample.text};
        for (auto const& reference : sample.references)
            texts.push_back(blip::clean_caption(reference, plan_.max_words));
        return texts;
    }

    static bool is_right(Item const& picture, std::string const& text) {
        return std::ranges::find(picture.texts, text) != picture.texts.end();
    }

    /// A picture against its own text and the first of the batch that is none of its.
    void judge(Item const& item, States const& states, std::vector<std::string> const& texts) {
        std::vector<std::string> two{item.text};
        for (auto const& other : texts)
            if (two.size() == 1 && !is_right(item, other))
                two.push_back(other);
        auto const matches = matcher_.match_texts(states, two);
        for (std::size_t i = 0; i < two.size(); ++i)
            right_ += (matches[i].probability > 0.5) == (i == 0) ? 1 : 0;
        judged_ += static_cast<double>(two.size());
    }

    void finish_group() {
        std::size_t const count = group_.size();
        if (count == 0)
            return;
        xt::xtensor<double, 2> cosines(std::array{count, count}); // pictures x texts
        blip::RelevantItems texts(count), pictures(count);
        for (std::size_t i = 0; i < count; ++i)
            for (std::size_t t = 0; t < count; ++t) {
                cosines(i, t) = std::inner_product(group_[i].image.begin(), group_[i].image.end(),
                                                   group_[t].sentence.begin(), 0.0);
                if (is_right(group_[i], group_[t].text)) {
                    texts[i].push_back(t);
                    pictures[t].push_back(i);
                }
            }
        auto const scores = rank(std::move(cosines));
        auto const of_texts = blip::recall(scores.image_to_text, texts);
        auto const of_pictures = blip::recall(scores.text_to_image, pictures);
        auto const weight = static_cast<double>(count);
        mean_ += weight * (of_texts.mean + of_pictures.mean) / 2;
        text_ += weight * of_texts.at_1;
        picture_ += weight * of_pictures.at_1;
        items_ += weight;
        group_.clear();
    }

    /// By cosine alone, or the best of them by the match head too.
    blip::RetrievalScores<double> rank(xt::xtensor<double, 2> cosines) const {
        if (plan_.rerank == 0)
            return {
                .cosine = {}, .image_to_text = cosines, .text_to_image = xt::transpose(cosines)};
        auto const most = static_cast<std::size_t>(plan_.rerank);
        return blip::rank_candidates(
            std::move(cosines), {.texts = most, .images = most},
            [&](std::size_t picture, std::span<int const> asked) {
                std::vector<std::string> texts;
                for (int const t : asked)
                    texts.push_back(group_[static_cast<std::size_t>(t)].text);
                std::vector<double> logits;
                for (auto const& match : matcher_.match_texts(group_[picture].states, texts))
                    logits.push_back(match.scores[1]);
                return logits;
            });
    }

    Matcher const& matcher_;
    TrainingPlan const& plan_;
    std::vector<Item> group_;
    double mean_ = 0, text_ = 0, picture_ = 0, items_ = 0, right_ = 0, judged_ = 0;
};

} // namespace support
