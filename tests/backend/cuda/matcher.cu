// Matching, features and heat maps on the CUDA backend: they compile and link for each
// architecture, and where there is a device their numbers are compared with Reference<double>.
#include <string>
#include <type_traits>
#include <vector>

#include <support/tiny_models.hpp>

#include "tiny_model.hpp"

namespace {

using namespace blip;
using tiny = test::tiny_model;

template <class B>
test::ModelResults results() {
    auto const matcher = test::random_model<Matcher<tiny, B>>();
    std::vector<std::string> const texts{"a photo of word9 word10", "word12", "photo of word30"};
    test::ModelResults all;
    auto& numbers = all.numbers;
    auto const add = [&](auto const& values) {
        numbers.insert(numbers.end(), values.begin(), values.end());
    };
    auto const add_matches = [&](std::vector<Match> const& matches) {
        for (auto const& match : matches) {
            add(match.scores);
            numbers.push_back(match.cosine.value());
        }
    };
    add_matches(matcher.match_texts(test::noise(1), texts));
    add_matches(matcher.match_pairs(test::noise(3), texts));
    auto const map = heat_map(matcher, test::noise(1), texts[0]);
    // Their sizes are those of gradients, small ones.
    for (float const value : map.tokens)
        numbers.push_back(100 * static_cast<double>(value));

    test::Folder const folder;
    matcher.save(folder.path);
    auto const extractor = FeatureExtractor<tiny, B>::load(folder.path);
    add(extractor.image_embeddings(test::noise(2)));
    add(extractor.text_token_embeddings(texts).values);
    add(extractor.multimodal_states(test::noise(1), texts).values);
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "matching is", []<class B>(std::type_identity<B>) { return results<B>(); });
}
