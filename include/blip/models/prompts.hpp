#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <blip/io/model_config.hpp>
#include <blip/networks/decoder_session.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// The prompts of a batch, as text and as what a decoder is fed.
struct PromptBatch {
    std::vector<std::string> texts;
    std::vector<Prompt> prompts;
    std::vector<std::vector<int>> ids; ///< of `prompts`, which the search continues
};

/// Turns prompt texts into decoder input: [CLS] becomes [DEC] and the closing [SEP] is dropped.
/// Under `Compatibility::hugging_face` prompts of different lengths are padded to the longest
/// before the last *column* is dropped, so shorter ones keep their [SEP] and hidden pads, whose
/// positions restart at 0: what the port does. Otherwise every prompt stays by itself.
inline PromptBatch prompt_batch(Tokenizer const& tokenizer, std::vector<std::string> texts,
                                Compatibility compatibility) {
    auto const& special = tokenizer.vocabulary().special();
    PromptBatch batch;
    std::size_t longest = 0;
    std::vector<std::vector<int>> encoded;
    for (auto const& text : texts) {
        encoded.push_back(tokenizer.encode(text));
        longest = std::max(longest, encoded.back().size());
    }
    for (auto& ids : encoded) {
        std::size_t const real = ids.size();
        if (compatibility == Compatibility::hugging_face)
            ids.resize(longest, special.pad);
        ids.pop_back();
        ids.front() = special.dec;
        Prompt prompt = Prompt::plain(std::move(ids));
        for (std::size_t t = real; t < prompt.ids.size(); ++t) {
            prompt.visible[t] = 0;
            prompt.positions[t] = 0;
        }
        batch.ids.push_back(prompt.ids);
        batch.prompts.push_back(std::move(prompt));
    }
    batch.texts = std::move(texts);
    return batch;
}

/// `text` without as many characters at its beginning as `prompt` has: how the authors' release
/// removes the prompt, whatever the text begins with.
inline std::string without_prompt(std::string text, std::string const& prompt) {
    auto const is_start = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
    auto left = std::count_if(prompt.begin(), prompt.end(), is_start);
    std::size_t at = 0;
    while (at < text.size() && left > 0) {
        ++at;
        while (at < text.size() && !is_start(text[at]))
            ++at;
        --left;
    }
    return text.substr(at);
}

} // namespace blip
