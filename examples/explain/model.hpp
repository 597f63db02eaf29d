#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/models/heat_map.hpp>
#include <blip/vision/heat_map.hpp>

#include "../support/model_choice.hpp"

namespace explain {

/// What is explained: texts that were given, or texts that the model wrote.
enum class Kind { match, caption, answer };

/// A word and its map, the mean of its pieces'.
struct Word {
    std::string text;
    blip::GridMap map;
    double log_probability = 0; ///< of its pieces together; 0 in a text that was given
};

/// A text and what its words drew on.
struct Explained {
    std::string text;
    double probability = 0; ///< that the text fits, or the mean one of the tokens written
    blip::GridMap all;      ///< mean over the words
    std::vector<Word> words;
};

/// A model of one of the three kinds, of any size that is compiled in.
struct Model : support::AnyModel {
    /// Explains `text`: a text to match, or a question to answer; a captioner takes none.
    virtual Explained explain(blip::Pixels const& pixels, std::string const& text,
                              std::optional<int> layer) const = 0;
};

/// The words of tokens `numbers` of a map; pieces that begin with ## belong to the one before.
/// `log_probabilities`: of all tokens, or empty.
inline std::vector<Word> words_of(blip::TokenMaps const& map, std::span<std::size_t const> numbers,
                                  std::span<double const> log_probabilities = {}) {
    std::vector<Word> words;
    float pieces = 0;
    for (std::size_t const token : numbers) {
        std::string_view const piece = map.pieces[token];
        double const log_p = log_probabilities.empty() ? 0 : log_probabilities[token];
        auto const values = map.of(token);
        if (piece.starts_with("##") && !words.empty()) {
            auto& word = words.back();
            word.text += piece.substr(2);
            word.log_probability += log_p;
            for (std::size_t i = 0; i < values.size(); ++i)
                word.map.data()[i] =
                    (word.map.data()[i] * pieces + values.data()[i]) / (pieces + 1);
            ++pieces;
        } else {
            words.push_back({std::string(piece), values, log_p});
            pieces = 1;
        }
    }
    return words;
}

/// One source file each, so that they are compiled beside one another. Each throws what
/// `load_model` does.
std::unique_ptr<Model> load_matcher(support::CommonArguments const& a);
std::unique_ptr<Model> load_captioner(support::CommonArguments const& a);
std::unique_ptr<Model> load_answerer(support::CommonArguments const& a);

/// Writes the untrained model of a kind that the arguments ask for; see `write_random_model`.
int write_random_matcher(support::CommonArguments const& a);
int write_random_captioner(support::CommonArguments const& a);
int write_random_answerer(support::CommonArguments const& a);

} // namespace explain
