#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <blip/core/random.hpp>
#include <blip/models/answer_targets.hpp>
#include <blip/train/record.hpp>
#include <blip/vision/augment.hpp>
#include <blip/vision/preprocess.hpp>

#include "plan.hpp"

namespace support {

/// What a training program learns from one item.
enum class SampleKind {
    caption,  ///< a picture and a text
    question, ///< a picture, a question and its answers
    pair      ///< two pictures and a sentence that is true or false
};

/// An item as training computes with it.
struct Sample {
    std::vector<float> pixels; ///< [pictures, 3, side, side], normalised
    std::string text;          ///< caption or sentence
    std::string question;
    std::vector<blip::WeightedAnswer> answers;
    int label = 0;                       ///< of a pair: 1 where the sentence is true
    std::int64_t picture = 0;            ///< the same number for the same picture
    std::vector<std::string> references; ///< every caption, or every answer, as the list has it
    std::string where;                   ///< for messages: "train.json, element 17"
    std::string thumbnail;               ///< a data: address; validation only
};

/// How records become samples.
struct SampleOptions {
    SampleKind kind = SampleKind::caption;
    blip::Preprocess preprocess;
    blip::Augment augment;
    int max_words = 30;
    bool validation = false; ///< nothing random: the whole picture, the first caption
};

/// Reads the pictures of a record and chooses what `key` says. Throws what reading does, and
/// FormatError for a record that lacks something, with its place.
Sample make_sample(blip::TrainingRecord record, SampleOptions const& options, blip::RandomKey key);

/// The pixels of samples as a batch; of pairs all first pictures, then all second ones.
blip::Pixels gather_pixels(std::span<Sample const> samples, std::size_t side);

} // namespace support
