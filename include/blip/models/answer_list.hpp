#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/text/wordpiece.hpp>

namespace blip {

/// Answers to choose among, tokenised once for any number of questions.
class AnswerList {
public:
    /// Throws ArgumentError for an empty list, TextError for invalid UTF-8, naming the answer.
    AnswerList(Tokenizer const& tokenizer, std::vector<std::string> texts)
        : texts_(std::move(texts)) {
        if (texts_.empty())
            throw ArgumentError("answer list: there is no answer to choose");
        ids_.reserve(texts_.size());
        for (std::size_t i = 0; i < texts_.size(); ++i) {
            try {
                ids_.push_back(tokenizer.encode(texts_[i]));
            } catch (TextError const& error) {
                throw TextError(join("answer ", i, ": ", error.what()));
            }
            ids_.back().front() = tokenizer.vocabulary().special().dec;
        }
    }

    std::size_t size() const { return texts_.size(); }
    std::span<std::string const> texts() const { return texts_; }

    /// Of every answer, from [DEC] to [SEP].
    std::span<std::vector<int> const> ids() const { return ids_; }

private:
    std::vector<std::string> texts_;
    std::vector<std::vector<int>> ids_;
};

} // namespace blip
