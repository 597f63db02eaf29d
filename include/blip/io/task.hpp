#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include <blip/core/error.hpp>
#include <blip/io/tensor_file.hpp>

namespace blip {

/// What a checkpoint was trained for, as its tensors tell.
enum class Task {
    captioning,         ///< image encoder and text decoder
    question_answering, ///< image encoder, question encoder, answer decoder
    matching,           ///< image encoder, text encoder, projections, match head; retrieval too
    pair_reasoning,     ///< two pictures and a sentence (NLVR2)
    pre_training,       ///< everything: encoder and decoder, projections, match head
    features,           ///< image encoder and text encoder, no head
    two_towers          ///< the port's BlipModel, of which no trained checkpoint was published
};

/// The task in words, and the type of this library that reads its checkpoints.
struct TaskDescription {
    std::string_view words, reader;
};

inline TaskDescription describe(Task task) {
    switch (task) {
    case Task::captioning:
        return {"captioning", "blip::Captioner"};
    case Task::question_answering:
        return {"visual question answering", "blip::QuestionAnswerer"};
    case Task::matching:
        return {"image-text matching and retrieval", "blip::Matcher"};
    case Task::pair_reasoning:
        return {"reasoning over two pictures (NLVR2)", "blip::PairReasoner"};
    case Task::pre_training:
        return {"pre-training", "blip::Pretrainer"};
    case Task::features:
        return {"feature extraction", "blip::FeatureExtractor"};
    case Task::two_towers:
        return {"the port's untrained BlipModel", {}};
    }
    return {};
}

/// What the tensors of `file` were trained for.
inline Task detect_task(TensorFile const& file) {
    auto const any = [&file](std::string_view prefix) {
        return std::ranges::any_of(file.tensors(),
                                   [&](auto const& t) { return t.name.starts_with(prefix); });
    };
    bool const twins = std::ranges::any_of(file.tensors(), [](auto const& t) {
        return t.name.find("crossattention.self0.") != std::string::npos;
    });
    bool const encoder = any("text_encoder.");
    if (twins || any("cls_head."))
        return Task::pair_reasoning;
    if (any("text_model."))
        return Task::two_towers;
    if (any("text_decoder."))
        return !encoder           ? Task::captioning
               : any("itm_head.") ? Task::pre_training
                                  : Task::question_answering;
    return any("itm_head.") ? Task::matching : Task::features;
}

/// Whether a model of task `wanted` finds all of its weights, trained for its own purpose, in a
/// file of task `found`.
inline bool serves(Task found, Task wanted) {
    if (found == wanted)
        return true;
    switch (wanted) {
    case Task::captioning:
    case Task::matching:
        return found == Task::pre_training;
    case Task::features: // every file that has the two encoders
        return found == Task::pre_training || found == Task::matching ||
               found == Task::question_answering;
    default:
        return false;
    }
}

/// Throws CheckpointError that names both tasks, and the type to use instead, when a model of task
/// `wanted` cannot be read from `file`.
inline void require_task(TensorFile const& file, Task wanted) {
    Task const found = detect_task(file);
    if (serves(found, wanted))
        return;
    auto const it = describe(found);
    auto const me = describe(wanted);
    throw CheckpointError(join(file.path().string(), ": this is a checkpoint for ", it.words,
                               ", but ", me.reader, " needs one for ", me.words,
                               it.reader.empty() ? "" : "; read it with ", it.reader));
}

} // namespace blip
