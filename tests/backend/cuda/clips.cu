// Clips and dialogues on the CUDA backend: their types compile and link, and where there is a
// device what they find, answer and rank is compared with Reference<double>.
#include <string>
#include <type_traits>
#include <vector>

#include "tiny_model.hpp"

namespace {

using namespace blip;

/// Picture and text states are equally wide, as dialogues need it.
struct tiny {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 0;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 40, width = 32, depth = 2, heads = 4;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 0;
    };
    static constexpr int projection = 20;
};

std::vector<std::string> const texts{"a photo of word9 word10", "word12", "of a word30"};

template <class B>
test::ModelResults results() {
    test::ModelResults all;
    auto const frames = test::noise_of(6, tiny::vision::image);
    auto const matcher = test::model_of_noise<Matcher<tiny, B>>();
    VideoRetriever<tiny, B> const retriever(matcher, 3);
    auto const clips = retriever.encode(frames, 3);
    for (auto const& clip : clips) {
        all.numbers.insert(all.numbers.end(), clip.embedding.begin(), clip.embedding.end());
        for (auto const& match : retriever.match(clip, texts)) {
            all.numbers.insert(all.numbers.end(), match.scores.begin(), match.scores.end());
            all.numbers.push_back(*match.cosine);
        }
    }
    auto const scores = retriever.scores(clips, texts);
    all.numbers.insert(all.numbers.end(), scores.text_to_clip.begin(), scores.text_to_clip.end());

    VideoQuestionAnswerer<tiny, B> const answerer(test::model_of_noise<QuestionAnswerer<tiny, B>>(),
                                                  3);
    std::vector<int> const about{1, 0, 1};
    AnswerOptions options;
    options.attend_padding = false;
    for (auto const& found : answerer.answer(frames, 3, texts, options, about))
        all.ids.insert(all.ids.end(), found.front().ids.begin(), found.front().ids.end());
    RankOptions ranking;
    ranking.results = 0;
    for (auto const& ranked : answerer.rank(
             frames, 3, texts, answerer.answer_list({"a", "word20 of", "word9"}), ranking, about))
        for (auto const& chosen : ranked) {
            all.ids.push_back(chosen.answer);
            all.numbers.push_back(chosen.score);
        }

    DialogRanker<tiny, B> const ranker(matcher);
    Dialog const dialog{"a photo of word9", {{"word10 word11", "word12"}}, "word16 word17"};
    std::vector<std::string> const candidates{"a", "word20 word21", "photo"};
    for (auto const& one :
         ranker.rank(test::noise_of(1, tiny::vision::image), dialog, candidates)) {
        all.ids.push_back(static_cast<int>(one.candidate));
        all.numbers.insert(all.numbers.end(), one.scores.begin(), one.scores.end());
    }
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "clips and dialogues are", []<class B>(std::type_identity<B>) { return results<B>(); });
}
