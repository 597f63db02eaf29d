#include "text_scores.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include <blip/text/cleaning.hpp>

namespace support {

namespace {

/// 2 x common words / all words of both, words counted as often as they stand.
double common_words(std::string const& a, std::string const& b) {
    std::map<std::string, int> counts;
    int all = 0, common = 0;
    std::string word;
    for (std::istringstream in(a); in >> word; ++all)
        ++counts[word];
    for (std::istringstream in(b); in >> word; ++all)
        if (counts[word]-- > 0)
            ++common;
    return all == 0 ? 1 : 2.0 * common / all;
}

} // namespace

void TextScores::add(Sample const& sample, std::string said, std::string const& prompt) {
    constexpr std::size_t most_shown = 24;
    if (!prompt.empty() && said.starts_with(prompt))
        said.erase(0, prompt.size());
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
