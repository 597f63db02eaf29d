// The whole retriever on the CUDA backend: it compiles and links for each architecture, and where
// there is a device, what it finds and how it ranks are compared with Reference<double>.
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <blip/cuda.cuh>

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

Tokenizer words() {
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Tokenizer(parse_vocabulary(pieces));
}

Image picture(std::size_t number) {
    Image image(Image::shape_type{30 + number, 40, 3});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>(random_uniform({9, number}, i) * 256);
    return image;
}

/// Cosines and match logits of two texts with five pictures, in the pictures' order.
template <class B>
std::vector<double> results(std::string const& file) {
    using Model = Retriever<tiny, B>;
    using Network = typename Model::Network;
    typename B::Engine engine;
    Weights<Network> weights(engine);
    std::uint64_t number = 0;
    for_each_parameter(*weights, [&](std::string const& path, auto& p) {
        using P = std::remove_cvref_t<decltype(p)>;
        std::vector<float> values(static_cast<std::size_t>(P::size));
        for (std::size_t i = 0; i < values.size(); ++i) {
            double const u = random_uniform({7, number}, i) - 0.5;
            values[i] = static_cast<float>(path.ends_with("scale") ? 1 + 0.2 * u : 0.6 * u);
        }
        ++number;
        B::upload(engine, p.data, static_cast<float const*>(values.data()), P::size);
    });
    Model const model(std::make_shared<LoadedModel<Network>>(
        std::move(weights), ModelSettings{}, words(), Preprocess{.size = 24}, engine));
    std::vector<LabelledImage> pictures;
    for (std::size_t i = 0; i < 5; ++i)
        pictures.push_back({picture(i), std::to_string(i)});
    auto index = model.make_index();
    {
        StateWriter writer(file, model.state_layout(DataType::f32));
        model.add(index, pictures, 3, &writer);
    }
    auto const states = model.open_states(file);
    std::vector<double> numbers;
    for (std::string const& text : std::vector<std::string>{"a photo of word9 word10", "word12"}) {
        auto hits = model.rerank(text, model.query(index, text, 5), states);
        std::sort(hits.begin(), hits.end(),
                  [](Hit const& a, Hit const& b) { return a.row < b.row; });
        for (auto const& hit : hits) {
            numbers.push_back(hit.cosine);
            numbers.push_back(*hit.match);
        }
    }
    std::filesystem::remove(file);
    return numbers;
}

} // namespace

int main() try {
    if (cuda::device_count() == 0) {
        std::printf("no CUDA device: the retriever is compiled and linked, but not run\n");
        return 77;
    }
    auto const file =
        (std::filesystem::temp_directory_path() / "blip_cuda_retriever_states").string();
    std::filesystem::remove(file);
    auto const expected = results<Reference<double>>(file);
    auto const found = results<Cuda<float>>(file);
    double most = 0, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        most = std::max(most, std::abs(expected[i]));
        difference = std::max(difference, std::abs(expected[i] - found[i]));
    }
    std::printf("largest difference %g of %g\n", difference, most);
    return difference < 1e-4 * most ? 0 : 1;
} catch (std::exception const& error) {
    std::printf("failed: %s\n", error.what());
    return 1;
}
