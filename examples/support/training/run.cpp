#include "run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <blip/core/ordered_pipeline.hpp>
#include <blip/io/write_file.hpp>
#include <blip/losses/contrastive.hpp>
#include <blip/train/checkpoint_folder.hpp>
#include <blip/train/loader.hpp>
#include <blip/train/loss_log.hpp>
#include <blip/train/schedule.hpp>

#include "../arguments.hpp"
#include "../interrupt.hpp"
#include "../number_text.hpp"
#include "../progress.hpp"
#include "../replace_folder.hpp"
#include "report.hpp"
#include "training_data.hpp"

namespace support {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string memory_text(std::size_t bytes) {
    double const mib = static_cast<double>(bytes) / (1 << 20);
    return mib < 1024 ? rounded_text(mib, "%.0f MiB") : rounded_text(mib / 1024, "%.1f GiB");
}

blip::Schedule schedule_of(TrainingPlan const& plan, std::int64_t steps, std::int64_t per_epoch) {
    auto const epochs = (steps + per_epoch - 1) / per_epoch;
    if (plan.schedule == "cosine by epoch")
        return blip::CosineByEpoch{plan.learning_rate, plan.least_rate, epochs, per_epoch};
    if (plan.schedule == "warm-up cosine")
        return blip::WarmupCosine{plan.learning_rate, plan.least_rate,
                                  std::min(plan.warmup_steps, steps - 1), steps};
    if (plan.schedule == "warm-up decay")
        return blip::WarmupStepDecay{plan.learning_rate, plan.least_rate,  plan.decay,
                                     plan.warmup_steps,  plan.warmup_rate, per_epoch};
    return blip::Constant{plan.learning_rate};
}

/// One training from its first step to its last.
class TrainingRun {
public:
    TrainingRun(std::string program, TrainingArguments const& arguments, SampleKind kind,
                TrainedModel& model)
        : program_(std::move(program)), a_(arguments), plan_(arguments.plan),
          folder_(arguments.output), model_(model),
          data_(plan_.data, sample_options(kind, false), plan_.seed), columns_(log_columns()),
          log_(folder_ / "log.csv", columns_, plan_.log_every),
          report_(program_ + ": " + folder_.string(), folder_, model.loss_names()) {
        if (!plan_.validation.empty())
            validation_.emplace(plan_.validation, sample_options(kind, true), plan_.seed);
        items_ = static_cast<std::uint64_t>(plan_.items_per_step());
        per_epoch_ = static_cast<std::int64_t>(data_.order().steps_per_epoch(items_));
        steps_ = plan_.steps > 0
                     ? plan_.steps
                     : std::max<std::int64_t>(
                           1, std::llround(plan_.epochs * static_cast<double>(per_epoch_)));
        rate_ = schedule_of(plan_, steps_, per_epoch_);
    }

    int run() {
        say(describe());
        if (a_.only_plan)
            return measure();
        begin();
        try {
            return train();
        } catch (std::exception const& error) {
            // The page must not say for ever that the run goes on.
            report_.add_message(error.what());
            try {
                page(false);
            } catch (blip::Error const&) {
            }
            throw;
        }
    }

private:
    int train() {
        auto loader = make_loader(items_);
        Clock::time_point const start = Clock::now();
        std::int64_t const first = step_;
        if (validation_is_missing()) { // it was interrupted
            validate();
            if (!validation_is_missing()) {
                save();
                page(false);
            }
        }

        while (step_ < steps_ && !ended_early()) {
            auto const before = Clock::now();
            double const waited_before = loader.seconds_waited();
            auto const samples = loader.next();
            double const waited = loader.seconds_waited() - waited_before;
            if (auto const losses = step(samples); !losses.empty()) {
                double const norm = model_.clip(plan_.clip);
                require_finite(losses, norm, samples);
                model_.update(rate_(step_));
                record(losses, norm, seconds_since(before), waited);
            }
            ++step_;
            if (!interrupted_by() && validation_is_due())
                validate_or_save();
            bool const last = step_ == steps_ || ended_early();
            if (last || is_due(plan_.checkpoint_every)) {
                if (last && interrupted_by() == 0)
                    log_.flush(step_);
                // Steps that cannot be computed may come from weights that training has spoilt:
                // the checkpoints of before must stay.
                if (refused_in_a_row_ == 0 || last)
                    save();
            }
            report(first, seconds_since(start), loader.seconds_waited(), last);
        }
        return finish();
    }

    /// A list that cannot be validated on must not cost what was learnt since the last checkpoint.
    void validate_or_save() {
        try {
            validate();
        } catch (blip::Error const&) {
            save();
            throw;
        }
    }

    /// Losses of the next step, or none where the batch cannot be learnt from: a text that is too
    /// long, pictures without a negative. It is counted as a broken item and passed over, the same
    /// whenever the run is repeated. Throws when there are too many.
    TrainedModel::Scores step(std::vector<Sample> const& samples) {
        constexpr int most_in_a_row = 3;
        try {
            auto losses = model_.step(samples, static_cast<std::size_t>(plan_.batch), options());
            refused_in_a_row_ = 0;
            return losses;
        } catch (blip::Error const& error) {
            if (++refused_ > plan_.max_broken || ++refused_in_a_row_ > most_in_a_row)
                throw blip::Error(blip::join(
                    "step ", step_ + 1, ": ", error.what(), ". ", where_to_go_on(),
                    refused_in_a_row_ > most_in_a_row
                        ? " Steps in a row that cannot be computed come from an option that the "
                          "message names or from training that diverges: try a smaller "
                          "--learning-rate or --clip 1."
                        : "",
                    " The batch was:", names(samples)));
            note(blip::join("step ", step_ + 1, " passed over: ", error.what(),
                            ". The batch was:", names(samples)));
        }
        model_.resume_at(step_ + 1);
        return {};
    }

    static std::string names(std::vector<Sample> const& samples) {
        std::string items;
        for (std::size_t i = 0; i < std::min<std::size_t>(samples.size(), 8); ++i)
            items += "\n  " + samples[i].where;
        if (samples.size() > 8)
            items += blip::join("\n  and ", samples.size() - 8, " more");
        return items;
    }

    std::string where_to_go_on() const {
        auto const steps = checkpoints_->steps();
        return steps.empty()
                   ? std::string("There is no checkpoint yet.")
                   : "The last checkpoint is " + checkpoints_->file(steps.back()).string() + ".";
    }

    SampleOptions sample_options(SampleKind kind, bool validation) const {
        bool const crops = plan_.crop_least < 1;
        return {.kind = kind,
                .preprocess = model_.preprocessing(),
                .augment = {.scale_min = plan_.crop_least,
                            .crop = crops,
                            .flip = plan_.flip,
                            .rand_augment = plan_.rand_augment},
                .max_words = plan_.max_words,
                .validation = validation};
    }

    std::size_t workers() const {
        return plan_.workers > 0 ? static_cast<std::size_t>(plan_.workers)
                                 : preparing_threads(static_cast<std::size_t>(plan_.threads));
    }

    blip::Loader<Sample> make_loader(std::uint64_t items) {
        return {[this](std::uint64_t number, std::uint64_t attempt) {
                    return data_.draw(number, attempt);
                },
                {.threads = workers(),
                 .batch = items,
                 .first_step = static_cast<std::uint64_t>(step_),
                 .max_broken = static_cast<std::size_t>(plan_.max_broken),
                 .on_broken = [this](blip::BrokenSample const& broken) { count(broken); }}};
    }

    /// Broken items count over all parts of a run, however often it is resumed.
    void count(blip::BrokenSample const& broken) {
        auto const place = data_.order().at(broken.number, broken.attempt);
        auto const known = static_cast<std::int64_t>((place.source << 40) | place.index);
        if (std::ranges::find(known_broken_, known) != known_broken_.end())
            return;
        known_broken_.push_back(known);
        note(blip::join("skipped: ", broken.message));
        if (known_broken_.size() > static_cast<std::size_t>(plan_.max_broken))
            throw blip::LimitError(blip::join(
                "training data: ", known_broken_.size(),
                " items were broken since the run began, more than the ", plan_.max_broken,
                " that --max-broken allows; mend or remove them. The last: ", broken.message));
    }

    blip::StepOptions options() const {
        auto const ramp = std::llround(plan_.alpha_epochs * static_cast<double>(per_epoch_));
        return {.alpha = blip::ramped_alpha(plan_.alpha, step_, ramp), .momentum = plan_.momentum};
    }

    /// What is about to happen, for people.
    std::string describe() {
        auto const memory = model_.memory();
        std::string text = blip::join(
            program_, ": ", data_.size(), " items, ", items_, " a step (", plan_.accumulate, " x ",
            plan_.batch, "), ", per_epoch_, " steps an epoch, ", steps_,
            " steps in all\n  memory: ", memory_text(memory.weights), " weights, ",
            memory_text(memory.gradient), " gradient, ", memory_text(memory.moments), " moments");
        if (memory.teacher > 0)
            text += blip::join(", ", memory_text(memory.teacher),
                               " momentum networks, queues and averages");
        return text + "; a step takes more, which the first one tells";
    }

    /// --plan: measures two parts of a step and says what the whole would take.
    int measure() {
        auto const part = static_cast<std::size_t>(plan_.batch);
        auto loader = make_loader(part);
        double least = std::numeric_limits<double>::infinity();
        for (int i = 0; i < 2; ++i) {
            auto const samples = loader.next();
            auto const start = Clock::now();
            model_.step(samples, part, options());
            double const computed = plan_.accumulate * seconds_since(start);
            auto const updating = Clock::now();
            model_.clip(0);
            model_.update(0);
            least = std::min(least, computed + seconds_since(updating));
        }
        auto const memory = model_.memory();
        // Those prepared ahead, those of the step, and their copy as batches.
        auto const samples =
            4 * items_ * blip::preprocessed_size(model_.preprocessing()) * sizeof(float);
        auto const all =
            memory.weights + memory.gradient + memory.moments + memory.teacher + samples;
        say(blip::join("  a step: ", rounded_text(least, "%.3g"), " s and ",
                       memory_text(memory.step), " beside the above; in all ",
                       memory_text(all + memory.step), " of memory, ", memory_text(samples),
                       " of it for pictures\n  an epoch: ",
                       duration_text(least * static_cast<double>(per_epoch_)),
                       ", the whole: ", duration_text(least * static_cast<double>(steps_)),
                       ", without validation\n  a checkpoint: ",
                       memory_text(memory.weights + memory.moments + memory.teacher), ", of which ",
                       plan_.keep, " are kept"));
        return success;
    }

    fs::path plan_file() const { return folder_ / "plan.json"; }

    /// Makes the folder, or goes on from what is in it.
    void begin() {
        // Before its plan is written a run may be killed with an empty folder: nothing was begun.
        auto const kept = folder_ / "checkpoints";
        bool const exists = fs::exists(plan_file()) || (fs::exists(kept) && !fs::is_empty(kept));
        if (exists && !a_.resume && !a_.force)
            throw UsageError(blip::join(folder_.string(), ": there is a run already; --resume goes "
                                                          "on with it, --force begins anew"));
        if (exists && a_.resume)
            require_same_plan();
        if (!exists && a_.resume)
            say(blip::join(folder_.string(), ": nothing to resume; training begins"));
        remove_leftovers();
        checkpoints_.emplace(kept, plan_.keep);
        auto const items = seen_items_ = static_cast<std::int64_t>(data_.size());
        auto const texts = seen_texts_ = data_.checksum_of_texts();
        state_.emplace(blip::Cpu<float>::Engine(static_cast<std::size_t>(plan_.threads)));
        model_.add_to(*state_);
        state_->add("run.step", step_);
        state_->add("run.items", seen_items_);
        state_->add("run.texts", seen_texts_);
        state_->add("run.refused", refused_);
        state_->add("run.broken", known_broken_, blip::Length::any);
        state_->add("run.best", best_, blip::Length::any);
        state_->add("run.watch", watch_, blip::Length::any);
        state_->add("run.history", history_);
        blip::add_parts(*state_, "log", log_);
        if (a_.resume) {
            auto const found = checkpoints_->restore_latest(
                *state_, [&](std::string const& why) { note("passed over: " + why); });
            if (found) {
                if (seen_items_ != items)
                    throw UsageError(
                        blip::join(folder_.string(), ": the run was begun with ", seen_items_,
                                   " items and now there are ", items,
                                   "; resume with the same data, or give another --output"));
                if (seen_texts_ != texts)
                    throw UsageError(blip::join(
                        folder_.string(), ": the run was begun with other data: of ", items,
                        " items texts or names of pictures have changed; resume "
                        "with the same data, or give another --output"));
                model_.resume_at(step_);
                report_.restore_history(history_);
                if (auto const& scores = report_.deciding_scores(); !scores.empty())
                    validated_ = std::llround(scores.back().first);
                patience_is_over_ = is_hopeless();
                say(blip::join(program_, ": goes on from step ", step_));
            }
        } else {
            checkpoints_->remove_after(-1);
            for (char const* model : {"best", "last"})
                fs::remove_all(folder_ / model);
        }
        blip::write_file(plan_file(), plan_.json().dump(1) + "\n");
        log_.start(step_);
        report_.read_log(log_.path(), columns_.size() + 1);
        progress_.set_total(static_cast<std::uint64_t>(steps_));
        progress_.continue_from(static_cast<std::uint64_t>(step_));
    }

    void require_same_plan() const {
        std::ifstream in(plan_file(), std::ios::binary);
        auto const before = nlohmann::json::parse(in, nullptr, false);
        auto const now = plan_.json(), usual = TrainingPlan{}.json();
        std::string changes;
        for (auto const& [name, value] : now.items()) {
            // These change nothing that is learned.
            if (name == "threads" || name == "workers" || name == "keep" || name == "max-broken" ||
                name == "export-type")
                continue;
            // A run of an earlier version does not name what it did not have.
            auto const was = before.is_object() && before.contains(name)
                                 ? before[name].dump()
                                 : usual.value(name, nlohmann::ordered_json()).dump();
            if (was != value.dump())
                changes += blip::join("\n  ", name, " was ", was, " and is ", value.dump());
        }
        if (!changes.empty())
            throw UsageError(blip::join(folder_.string(), ": the run was begun otherwise:", changes,
                                        "\nGive the same options, or another --output"));
    }

    bool ended_early() const { return interrupted_by() != 0 || patience_is_over_; }
    bool is_due(std::int64_t every) const { return step_ % (every > 0 ? every : per_epoch_) == 0; }

    /// Throws before bad numbers reach the weights.
    void require_finite(TrainedModel::Scores const& losses, double norm,
                        std::vector<Sample> const& samples) {
        double const loss = losses.front().second;
        if (watch_.size() != 2)
            watch_ = {loss, loss};
        double const first = watch_[0];
        double& average = watch_[1];
        average = 0.98 * average + 0.02 * loss;
        bool const finite = std::isfinite(loss) && std::isfinite(norm);
        if (finite && average < 3 * std::abs(first) + 3)
            return;
        throw blip::Error(blip::join(
            "step ", step_ + 1, ": the loss is ", loss, " and the gradient's norm ", norm,
            finite ? "; training diverges. " : ". ", where_to_go_on(),
            " Try a smaller --learning-rate or --clip 1. The batch was:", names(samples)));
    }

    bool validation_is_missing() const {
        return validation_ && step_ > 0 && validated_ != step_ && validation_is_due();
    }

    bool validation_is_due() const { return step_ == steps_ || is_due(plan_.validate_every); }

    std::vector<std::string> log_columns() const {
        auto columns = model_.loss_names();
        columns.insert(columns.end(), {"rate", "norm", "seconds", "waited"});
        return columns;
    }

    /// Logs the step that was just done, `step_` + 1.
    void record(TrainedModel::Scores const& losses, double norm, double seconds, double waited) {
        last_ = losses;
        std::vector<double> values;
        for (auto const& [name, value] : losses)
            values.push_back(value);
        values.insert(values.end(), {rate_(step_), norm, seconds, waited});
        if (auto const means = log_.add(step_ + 1, values))
            report_.add_row(step_ + 1, *means);
    }

    void validate() {
        if (!validation_ || validated_ == step_)
            return;
        validated_ = step_;
        auto const begin = Clock::now();
        std::uint64_t next = 0;
        std::uint64_t skipped = 0;
        auto const all = validation_->size();
        auto const count = plan_.validation_items > 0
                               ? std::min(all, static_cast<std::uint64_t>(plan_.validation_items))
                               : all;
        auto const items = static_cast<std::size_t>(plan_.batch);
        using Read = std::pair<std::optional<Sample>, std::string>;
        // Evenly spread, so that each of several lists has its part.
        blip::OrderedPipeline<std::uint64_t, Read> reading(
            [&]() -> std::optional<std::uint64_t> {
                return next < count ? std::optional(next++ * all / count) : std::nullopt;
            },
            [&](std::uint64_t item) -> Read {
                try {
                    return {validation_->item(item), {}};
                } catch (blip::Error const& error) {
                    return {std::nullopt, error.what()};
                }
            },
            {.threads = workers(), .capacity = 2 * items});
        auto const stream = [&] {
            std::vector<Sample> samples;
            while (interrupted_by() == 0 && samples.size() < items) {
                auto read = reading.next([] { return interrupted_by() != 0; });
                if (!read)
                    break;
                if (read->first)
                    samples.push_back(std::move(*read->first));
                else if (++skipped; broken_.insert(read->second).second)
                    note(blip::join("validation, skipped: ", read->second));
                if (skipped > static_cast<std::uint64_t>(plan_.max_broken))
                    throw blip::FormatError(blip::join(
                        "validation: ", skipped, " items cannot be used, more than the ",
                        plan_.max_broken,
                        " that --max-broken allows; mend --validation. The last: ", read->second));
            }
            return samples;
        };
        auto const average = model_.show_average();
        auto found = model_.validate(stream, plan_);
        if (interrupted_by() != 0) { // half a validation is none
            validated_ = -1;
            return;
        }
        if (found.scores.empty())
            throw blip::FormatError(blip::join("validation: none of ", skipped,
                                               " items can be used; mend --validation"));
        std::string text = blip::join("step ", step_, ": validation");
        for (char const* between = " "; auto const& [name, value] : found.scores) {
            text += blip::join(between, name, ' ', rounded_text(value));
            between = ", ";
        }
        progress_.message(text +
                          blip::join(" (", rounded_text(seconds_since(begin), "%.1f"), " s)"));
        report_.add_validation(step_, found.scores, std::move(found.samples));
        double const score = found.scores.front().second;
        if ((best_.empty() || score > best_[0]) && write_model("best"))
            best_ = {score, static_cast<double>(step_)};
        patience_is_over_ = is_hopeless();
        if (patience_is_over_)
            progress_.message(
                blip::join("no better validation since step ", best_[1], ": training ends"));
    }

    /// Whether --patience is over.
    bool is_hopeless() const {
        if (plan_.patience == 0 || best_.empty())
            return false;
        return std::ranges::count_if(report_.deciding_scores(), [&](auto const& point) {
                   return point.first > best_[1];
               }) >= plan_.patience;
    }

    bool export_model(char const* name) {
        auto const average = model_.show_average();
        return write_model(name);
    }

    /// Writes a model, the whole of it or nothing; that the disk is full, or a weight too large
    /// for --export-type, must not end the training. Returns whether it is there.
    bool write_model(char const* name) {
        std::string problem;
        try {
            replace_folder(folder_ / name,
                           [this](fs::path const& to) { model_.export_to(to, plan_); });
            return true;
        } catch (blip::Error const& error) {
            problem = error.what();
        } catch (fs::filesystem_error const& error) {
            problem = error.what();
        }
        note(blip::join("the model of step ", step_, " is not exported: ", problem));
        return false;
    }

    /// Removes what a killed program left half written.
    void remove_leftovers() const {
        std::vector<fs::path> leftovers;
        for (auto const& folder : {folder_, folder_ / "checkpoints"})
            if (fs::exists(folder))
                for (auto const& entry : fs::directory_iterator(folder))
                    if (auto const name = entry.path().filename().string();
                        name.ends_with(".partial") || name.ends_with("-partial"))
                        leftovers.push_back(entry.path());
        for (auto const& leftover : leftovers)
            fs::remove_all(leftover);
    }

    void save() {
        history_ = report_.history();
        try {
            checkpoints_->save(step_, *state_);
        } catch (blip::FileError const& error) {
            throw blip::FileError(blip::join("step ", step_, ": ", error.what(), ". ",
                                             where_to_go_on(),
                                             " When that is mended, run the same "
                                             "command with --resume"));
        }
    }

    /// Progress for people: the line on a terminal, the page every few seconds, a line of text
    /// where nobody watches.
    void report(std::int64_t first, double seconds, double waited, bool last) {
        progress_.advance(1);
        double const per_second = static_cast<double>(step_ - first) / std::max(seconds, 1e-9);
        double const left = static_cast<double>(steps_ - step_) / per_second;
        if (!last && step_ != first + 1 && seconds - reported_ < 5)
            return;
        reported_ = seconds;
        if (step_ == first + 1)
            progress_.message(
                blip::join("  a step takes ", memory_text(model_.memory().step), " beside them"));
        if (last || !progress_.is_shown() || seconds - spoke_ > 30) {
            spoke_ = seconds;
            std::string text = blip::join("step ", step_, " of ", steps_, ':');
            for (auto const& [name, value] : last_)
                text += blip::join(' ', name, ' ', rounded_text(value));
            progress_.message(blip::join(text, ", rate ", rounded_text(rate_(step_ - 1)), ", ",
                                         rounded_text(per_second, "%.3g"), " steps/s, ",
                                         duration_text(left), " left, waited for data ",
                                         rounded_text(100 * waited / seconds, "%.1f"), " %"));
        }
        per_second_ = per_second;
        waited_ = waited / seconds;
        try {
            page(!last);
        } catch (blip::FileError const& error) {
            note(error.what());
        }
    }

    void page(bool running) const {
        double const left = static_cast<double>(steps_ - step_) / std::max(per_second_, 1e-9);
        std::vector<std::pair<std::string, std::string>> facts{
            {"step", blip::join(step_, " of ", steps_)},
            {"epoch",
             rounded_text(static_cast<double>(step_) / static_cast<double>(per_epoch_), "%.2f")},
            {"steps a second", rounded_text(per_second_, "%.3g")},
            {"time left", duration_text(left)},
            {"waiting for data", rounded_text(100 * waited_, "%.1f") + " %"},
            {"memory of a step", memory_text(model_.memory().step)}};
        if (!best_.empty())
            facts.emplace_back("best", blip::join(report_.deciding_name(), ' ',
                                                  rounded_text(best_[0]), " at step ", best_[1]));
        report_.write(running, std::move(facts));
    }

    int finish() {
        progress_.clear();
        if (interrupted_by() != 0 && (step_ < steps_ || validation_is_missing())) {
            progress_.message(blip::join(program_, ": interrupted after step ", step_,
                                         "; to go on, run the same command with --resume"));
            return interrupt_status();
        }
        if (!export_model("last"))
            throw blip::FileError(
                blip::join((folder_ / "last").string(),
                           ": the trained model is not there. Make room, or mend what the message "
                           "above says, and run the same command with --resume"));
        say(blip::join("The trained model is in ", (folder_ / "last").string(),
                       best_.empty() ? std::string()
                                     : blip::join(", the best one, of step ", best_[1], ", in ",
                                                  (folder_ / "best").string()),
                       "; the curves in ", (folder_ / "index.html").string()));
        return success;
    }

    void say(std::string const& text) { progress_.message(text); }
    void note(std::string message) {
        progress_.message(program_ + ": " + message);
        report_.add_message(std::move(message));
    }

    std::string program_;
    TrainingArguments const& a_;
    TrainingPlan const& plan_;
    fs::path folder_;
    TrainedModel& model_;
    TrainingData data_;
    std::vector<std::string> columns_; ///< of the log
    blip::LossLog log_;
    RunReport report_;
    std::int64_t seen_items_ = 0, seen_texts_ = 0; ///< of the data, to notice that it has changed
    std::optional<TrainingData> validation_;
    std::uint64_t items_ = 1;
    std::int64_t per_epoch_ = 1, steps_ = 1, step_ = 0, validated_ = -1;
    blip::Schedule rate_;
    std::optional<blip::CheckpointFolder> checkpoints_;
    std::optional<blip::TrainingState<blip::Cpu<float>>> state_;
    std::vector<double> best_;   ///< score and step
    std::string history_ = "[]"; ///< of validation, for the checkpoint
    TrainedModel::Scores last_;
    std::vector<double> watch_;              ///< the first loss and a moving average
    std::set<std::string> broken_;           ///< of the validation data, to speak of each once
    std::vector<std::int64_t> known_broken_; ///< items of the training data: source, index
    std::int64_t refused_ = 0;               ///< steps that were passed over
    int refused_in_a_row_ = 0;
    bool patience_is_over_ = false;
    double reported_ = 0, spoke_ = 0, per_second_ = 0, waited_ = 0;
    Progress progress_;
};

} // namespace

int train(std::string const& program, TrainingArguments const& arguments, SampleKind kind,
          TrainedModel& model) {
    for (auto const& warning : model.warnings())
        std::fprintf(stderr, "%s: %s\n", program.c_str(), warning.c_str());
    return TrainingRun(program, arguments, kind, model).run();
}

} // namespace support
