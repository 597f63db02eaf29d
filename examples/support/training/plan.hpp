#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace support {

/// One source of training data: see blip::DataSource for what `path` may be.
struct DataPart {
    std::string path;
    std::string pictures;           ///< folder that picture names are relative to; "": the list's
    std::optional<double> weight{}; ///< share of the samples; not set: its number of items
};

/// What a training program does, every value of it: the recipe's defaults, changed by the JSON
/// config file, changed by the command line, in this order. Saved beside the run, so that a run
/// says how it was made.
struct TrainingPlan {
    /// The prompt that the model was trained with, else the authors' "a picture of ".
    static constexpr char const* own_prompt = "as the model";

    std::string task; ///< "caption", ...: which program made the run

    std::string model;    ///< checkpoint to start from, or a folder with sizes and vocabulary
    bool scratch = false; ///< start from random weights
    std::int64_t fresh_seed = -1; ///< of layers that the checkpoint lacks; -1: an error
    std::vector<DataPart> data;
    std::vector<DataPart> validation;

    int batch = 32;         ///< items a step and part
    int accumulate = 1;     ///< parts a step; the optimizer sees batch x accumulate items
    double epochs = 5;      ///< passes over the data
    std::int64_t steps = 0; ///< 0: as `epochs` say
    std::int64_t seed = 42;

    std::string schedule = "cosine by epoch"; ///< or "warm-up cosine", "warm-up decay", "constant"
    double learning_rate = 1e-5;
    double least_rate = 0;
    std::int64_t warmup_steps = 0;
    double warmup_rate = 1e-6;
    double decay = 0.9; ///< of the rate per epoch, "warm-up decay" only
    double weight_decay = 0.05;
    bool decay_all = true; ///< biases, norms, class token and temperature too, as the authors do
    double beta1 = 0.9, beta2 = 0.999;
    double clip = 0;    ///< largest gradient norm; 0: any
    double average = 0; ///< momentum of the weights' moving average, which is what is validated and
                        ///< exported; 0: the weights themselves

    double crop_least = 0.5; ///< smallest share of a picture that a crop keeps; 1: no cropping
    bool flip = true;
    bool rand_augment = true;
    std::string prompt = own_prompt;
    int max_words = 30;
    int text_length = 0;     ///< tokens that captions and questions are cut to; 0: the authors'
    double smoothing = 0.1;  ///< of labels; -1: as the checkpoint says, 0 in the port
    double word_dropout = 0; ///< share of a caption's words that the decoder does not see
    double dropout = 0.1;    ///< of the text network; -1: as the checkpoint says, 0 in the port
    double drop_path = -1;   ///< end of the ramp; -1: as the size is published
    double spread = 0.02;    ///< deviation of untrained weights
    double position_spread = 0.02; ///< of the picture network's untrained positions
    double alpha = 0.4;            ///< share of the momentum teacher's soft targets
    double alpha_epochs = 1;       ///< over which it grows from 0
    double momentum = 0.995;

    std::int64_t validate_every = 0; ///< steps; 0: every epoch
    int validation_items = 1000;     ///< at most; 0: all
    int beams = 3;                   ///< of validation captions and answers; 1: greedy
    int recall_among = 0;            ///< items that one recall is measured among; 0: all
    int rerank = 0;                  ///< candidates of a recall that the match head judges
    int patience = 0;                ///< validations without a better one before it ends; 0: never
    std::int64_t checkpoint_every = 0;   ///< steps; 0: every epoch
    int keep = 2;                        ///< checkpoints
    std::string export_type = "float32"; ///< of the exported models: "float32", "float16"

    std::int64_t log_every = 10; ///< steps whose means are a row of the log

    int max_broken = 100;
    int workers = 0; ///< threads that read pictures ahead; 0: a quarter of the processors
    int threads = 0; ///< threads that compute; 0: all

    /// Calls f(name, value, help) for every value that a config file or an option may set, in the
    /// order of the help.
    template <class Plan, class F>
    static void for_each_value(Plan& plan, F f);

    /// Changes what the file sets. Throws FileError, FormatError that names the key and, for an
    /// unknown one, the nearest that exists.
    void read(std::filesystem::path const& file);
    nlohmann::ordered_json json() const;
    /// Throws UsageError for values that make no sense, with the option's name.
    void check() const;

    int items_per_step() const { return batch * accumulate; }
};

template <class Plan, class F>
void TrainingPlan::for_each_value(Plan& p, F f) {
    f("batch", p.batch, "Items that are computed together");
    f("accumulate", p.accumulate, "Batches whose gradients make one step");
    f("epochs", p.epochs, "Passes over the data");
    f("steps", p.steps, "Steps in all; 0: as --epochs says");
    f("seed", p.seed, "Everything random is a function of it");
    f("schedule", p.schedule,
      "Learning rate: cosine by epoch, warm-up cosine, warm-up decay or constant");
    f("learning-rate", p.learning_rate, "The largest learning rate");
    f("least-rate", p.least_rate, "The learning rate at the end");
    f("warmup-steps", p.warmup_steps, "Steps over which the rate grows");
    f("warmup-rate", p.warmup_rate, "The rate of the first step");
    f("decay", p.decay, "Factor of the rate per epoch (warm-up decay)");
    f("weight-decay", p.weight_decay, "AdamW's");
    f("decay-all", p.decay_all,
      "Decay biases, norms, class token and temperature too, as the authors do");
    f("beta1", p.beta1, "AdamW's");
    f("beta2", p.beta2, "AdamW's");
    f("clip", p.clip, "Largest norm of the gradient; 0: any");
    f("average", p.average,
      "Validate and export a moving average of the weights with this momentum; 0: the weights");
    f("crop-least", p.crop_least, "Smallest share of a picture that a random crop keeps; 1: whole");
    f("flip", p.flip, "Mirror half of the pictures");
    f("rand-augment", p.rand_augment, "Apply random operations to pictures");
    f("prompt", p.prompt,
      "What captions begin with; it is not learned. As the model: its own, else \"a picture of \"");
    f("max-words", p.max_words, "Words of a text that are kept");
    f("text-length", p.text_length, "Tokens that texts are cut to; 0: as the authors");
    f("smoothing", p.smoothing, "Label smoothing; -1: as the checkpoint says");
    f("word-dropout", p.word_dropout,
      "Share of a caption's words that are hidden from the decoder");
    f("dropout", p.dropout, "Of the text network; -1: as the checkpoint says");
    f("drop-path", p.drop_path, "Stochastic depth of the picture network; -1: as published");
    f("spread", p.spread, "Deviation of untrained weights (--scratch); small networks want more");
    f("position-spread", p.position_spread, "The same of the picture network's positions");
    f("alpha", p.alpha, "Share of the momentum teacher's soft targets");
    f("alpha-epochs", p.alpha_epochs, "Epochs over which alpha grows from 0");
    f("momentum", p.momentum, "Of the momentum teacher");
    f("validate-every", p.validate_every, "Steps between validations; 0: an epoch");
    f("validation-items", p.validation_items,
      "Items of a validation at most, evenly spread; 0: all");
    f("beams", p.beams, "Beams of texts generated for validation; 1: greedy");
    f("recall-among", p.recall_among, "Items that one recall is measured among; 0: all");
    f("rerank", p.rerank, "Candidates of each recall that the match head judges; 0: cosine alone");
    f("patience", p.patience, "Validations without a better one before training ends; 0: any");
    f("checkpoint-every", p.checkpoint_every, "Steps between checkpoints; 0: an epoch");
    f("keep", p.keep, "Checkpoints that are kept");
    f("log-every", p.log_every, "Steps whose means are a row of log.csv");
    f("export-type", p.export_type, "Numbers of exported models: float32 or float16");
    f("max-broken", p.max_broken, "Broken items that are skipped before training gives up");
    f("workers", p.workers, "Threads that read pictures ahead; 0: by processors");
    f("threads", p.threads, "Threads that compute; 0: all processors");
    f("fresh-seed", p.fresh_seed,
      "Start layers that the checkpoint lacks from this seed; -1: refuse");
}

} // namespace support
