#include "text_scores.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include <blip/text/cleaning.hpp>

namespace support {

namespace {

/// The words of a text and its pairs of neighbours, which tell "a left of b" from "b left of a".
std::vector<std::string> words_and_pairs(std::string const& text) {
    std::vector<std::string> parts;
    std::string word, before;
    for (std::istringstream in(text); in >> word; before = word) {
        parts.push_back(word);
        parts.push_back(before + ' ' + word);
    }
    return parts;
}

/// 2 x what is common / all of both, counted as often as it stands.
double common_words(std::string const& a, std::string const& b) {
    std::map<std::string, int> counts;
    auto const first = words_and_pairs(a), second = words_and_pairs(b);
    int common = 0;
    for (auto const& part : first)
        ++counts[part];
    for (auto const& part : second)
        if (counts[part]-- > 0)
            ++common;
    auto const all = first.size() + second.size();
    return all == 0 ? 1 : 2.0 * common / static_cast<double>(all);
}

} // namespace

void TextScores::add(Sample const& sample, std::string said) {
    constexpr std::size_t most_shown = 24;
    double words = 0;
    bool exact = false;
    for (auto const& reference : sample.references) {
        auto const clean = blip::clean_caption(reference, 1000);
        words = std::max(words, common_words(clean, said));
        exact = exact || clean == said;
    }
    words_ += words;
    exact_ += exact ? 1 : 0;
    count_ += 1;
    if (shown_.size() < most_shown)
        shown_.push_back({.picture = sample.thumbnail,
                          .asked = sample.question,
                          .said = std::move(said),
                          .expected = sample.references.front(),
                          .right = exact});
}

Validation TextScores::validation() const {
    if (count_ == 0)
        return {};
    return {{{"words", 100 * words_ / count_}, {"exact", 100 * exact_ / count_}}, shown_};
}

} // namespace support
