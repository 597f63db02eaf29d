// The whole question answerer on the CUDA backend: it compiles and links for each architecture, and
// where there is a device its loss, gradients, answers and ranking are compared with
// Reference<double>.
#include <string>
#include <type_traits>
#include <vector>

#include <blip/models/answer_targets.hpp>

#include "tiny_model.hpp"

namespace {

using namespace blip;

struct tiny {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 1;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 40, width = 24, depth = 2, heads = 3;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 1;
    };
};

std::vector<std::string> const questions{"a photo of word9 word10", "word12", "of a word30"};

template <class B>
test::ModelResults results() {
    using Model = QuestionAnswerer<tiny, B>;
    using Network = typename Model::Network;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    test::fill_with_noise(weights, engine);
    auto const words = test::forty_words();
    auto const pixels = test::noise_of(3, tiny::vision::image);
    test::ModelResults all;
    {
        Arena<B> arena;
        Context<B> ctx{engine, arena};
        auto const size = static_cast<std::ptrdiff_t>(pixels.size());
        auto* images = ctx.take(size);
        B::upload(engine, images, pixels.data(), size);
        auto const tokens = with_first(words.encode_batch(questions), 39);
        std::vector<std::vector<WeightedAnswer>> const answers{
            {{"word8", 0.25}, {"a photo", 0.75}}, {{"word20 word21 word22", 1}}, {{"of", 0.2}}};
        AnswerBatch const batch(words, answers);
        typename Network::Cache cache;
        all.numbers.push_back(
            weights->loss({images, 3}, upload_text<tiny::text>(tokens, ctx),
                          batch.template targets<tiny, B>(tokens.mask, ctx),
                          {.smoothing = 0.1, .reduction = Reduction::sum_per_item}, cache, ctx));
        Weights<typename Network::Grad> gradient(engine);
        weights->backward(cache, *gradient, ctx);
        test::append_gradient(all.numbers, gradient, engine);
    }
    Model const answerer(std::move(weights), {}, words, {.size = 24}, engine);
    for (bool const padding : {true, false}) {
        AnswerOptions options;
        options.attend_padding = padding;
        for (auto const& found : answerer.answer(pixels, questions, options))
            all.ids.insert(all.ids.end(), found.front().ids.begin(), found.front().ids.end());
    }
    std::vector<std::string> texts;
    for (int i = 8; i < 38; ++i)
        texts.push_back("word" + std::to_string(i) + (i % 3 ? "" : " of a"));
    RankOptions options;
    options.keep = 9;
    options.results = 0;
    options.batch = 4;
    std::vector<int> const about{2, 0, 2};
    for (auto const& ranked :
         answerer.rank(pixels, questions, answerer.answer_list(texts), options, about))
        for (auto const& chosen : ranked) {
            all.ids.push_back(chosen.answer);
            all.numbers.push_back(chosen.score);
        }
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "the question answerer is", []<class B>(std::type_identity<B>) { return results<B>(); });
}
