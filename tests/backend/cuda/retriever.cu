// The whole retriever on the CUDA backend: it compiles and links for each architecture, and where
// there is a device, what it finds and how it ranks are compared with Reference<double>.
#include <algorithm>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "tiny_model.hpp"

namespace {

using namespace blip;

struct tiny {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 0;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 40, width = 24, depth = 2, heads = 3;
        static constexpr int hidden = 40, encoder_width = 32, recompute = 0;
    };
    static constexpr int projection = 20;
};

Image picture(std::size_t number) {
    Image image(Image::shape_type{30 + number, 40, 3});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>(random_uniform({9, number}, i) * 256);
    return image;
}

/// Cosines and match logits of two texts with five pictures, in the pictures' order.
template <class B>
test::ModelResults results() {
    auto const file =
        (std::filesystem::temp_directory_path() / "blip_cuda_retriever_states").string();
    std::filesystem::remove(file);
    Retriever<tiny, B> const model(test::model_of_noise<Matcher<tiny, B>>().shared());
    std::vector<LabelledImage> pictures;
    for (std::size_t i = 0; i < 5; ++i)
        pictures.push_back({picture(i), std::to_string(i)});
    auto index = model.make_index();
    {
        StateWriter writer(file, model.state_layout(DataType::f32));
        model.add(index, pictures, 3, &writer);
    }
    auto const states = model.open_states(file);
    test::ModelResults all;
    for (std::string const& text : std::vector<std::string>{"a photo of word9 word10", "word12"}) {
        auto hits = model.rerank(text, model.query(index, text, 5), states);
        std::sort(hits.begin(), hits.end(),
                  [](Hit const& a, Hit const& b) { return a.row < b.row; });
        for (auto const& hit : hits) {
            all.numbers.push_back(hit.cosine);
            all.numbers.push_back(*hit.match);
        }
    }
    std::filesystem::remove(file);
    return all;
}

} // namespace

int main() {
    return test::compare_with_reference(
        "the retriever is", []<class B>(std::type_identity<B>) { return results<B>(); });
}
