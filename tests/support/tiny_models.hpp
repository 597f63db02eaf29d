#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>

#include <blip/core/random.hpp>
#include <blip/core/weights.hpp>
#include <blip/io/model_config.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/vision/image.hpp>
#include <support/catch.hpp>
#include <support/random_weights.hpp>

/// Whole models of random weights, for tests of the model types.
namespace blip::test {

/// Sizes of no published model; the vocabulary is larger than its pieces by [DEC] and [ENC].
struct tiny_model {
    struct vision {
        static constexpr int image = 24, patch = 8, width = 32, depth = 2, heads = 4, hidden = 48;
        static constexpr int recompute = 0;
    };
    struct text {
        static constexpr int vocabulary = 40, positions = 32, width = 24, depth = 2, heads = 3,
                             hidden = 40;
        static constexpr int encoder_width = 32, recompute = 0;
    };
    static constexpr int projection = 10;
};
/// The same for larger pictures.
struct tiny_model_large : tiny_model {
    struct vision : tiny_model::vision {
        static constexpr int image = 32;
    };
};

/// Its words: "a", "photo", "of", "word8" to "word37".
inline Tokenizer tiny_words() {
    std::string pieces = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nphoto\nof\n";
    for (int i = 8; i < 38; ++i)
        pieces += "word" + std::to_string(i) + "\n";
    return Tokenizer(parse_vocabulary(pieces));
}

/// A model type with random weights and no dropout; the same numbers on every backend.
template <class Model>
Model random_model(typename Model::backend::Engine engine = typename Model::backend::Engine{},
                   Compatibility compatibility = Compatibility::salesforce) {
    Weights<typename Model::Network> weights(engine);
    fill_with_noise(weights, engine);
    ModelSettings settings;
    settings.compatibility = compatibility;
    settings.hidden_dropout = settings.attention_dropout = 0;
    return Model(std::move(weights), settings, tiny_words(), {.size = Model::image_size}, engine);
}

/// Normalised pictures of noise; `stream` chooses which.
inline Pixels noise(std::size_t count, std::size_t side = tiny_model::vision::image,
                    std::uint64_t stream = 2) {
    Pixels pixels(Pixels::shape_type{count, 3, side, side});
    for (std::size_t i = 0; i < pixels.size(); ++i)
        pixels.data()[i] = static_cast<float>(random_uniform({1, stream}, i) * 4 - 2);
    return pixels;
}

/// Pictures `first` to `first + count - 1`.
inline Pixels some_of(Pixels const& all, std::size_t first, std::size_t count = 1) {
    std::size_t const each = all.size() / all.shape()[0];
    Pixels pixels(Pixels::shape_type{count, 3, all.shape()[2], all.shape()[3]});
    std::copy_n(all.data() + first * each, count * each, pixels.data());
    return pixels;
}

/// Fails the running test unless two lists of GeneratedText are equal bit for bit.
template <class Texts>
void check_same_texts(Texts const& a, Texts const& b) {
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        CHECK(a[i].ids == b[i].ids);
        CHECK(a[i].text == b[i].text);
        CHECK(a[i].score == b[i].score);
        CHECK(a[i].token_log_probabilities == b[i].token_log_probabilities);
    }
}

/// Removed with everything in it at the end of a test.
struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() /
        ("blip-test-" + std::to_string(reinterpret_cast<std::uintptr_t>(this)));
    Folder() { std::filesystem::create_directories(path); }
    Folder(Folder const&) = delete;
    Folder& operator=(Folder const&) = delete;
    ~Folder() { std::filesystem::remove_all(path); }
};

} // namespace blip::test
