// Answers questions about pictures: answer MODEL PATH... --question "..."

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/question_answerer.hpp>
#include <blip/text/cleaning.hpp>

#include "support/confidence.hpp"
#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"
#include "support/random_model.hpp"
#include "support/settle_search.hpp"

namespace {

using namespace support;
using Texts = std::vector<std::string>;

/// The sizes that were published for question answering, and those of BLIP_MODELS.
using Models = Served<blip::config::ModelList<blip::config::base<480>, blip::config::base<384>>,
                      blip::config::built_in_question_answerers>;

struct Arguments : CommonArguments {
    Texts questions;
    std::string questions_file;
    std::string list;
    std::string root;
    bool clean = false;
    blip::AnswerOptions options;
    Texts candidates;
    std::string candidates_file;
    blip::RankOptions ranking;
    int top = 1;

    bool ranks() const { return !candidates.empty(); }
    std::size_t results() const {
        auto const wanted = static_cast<std::size_t>(top);
        return ranks()
                   ? std::min({wanted, candidates.size(), static_cast<std::size_t>(ranking.keep)})
                   : wanted;
    }
    Texts const& questions_of(Item const& item) const {
        return item.texts.empty() ? questions : item.texts;
    }
};

/// A question answerer of any of these sizes.
struct AnswerModel : AnyModel {
    virtual blip::GenerationDefaults generation_defaults() const = 0;
    /// Prepares `rank`.
    virtual void set_candidates(Texts const& texts) = 0;
    /// Question i is about picture about[i].
    virtual std::vector<std::vector<blip::Answer>>
    answer(blip::Pixels const& pixels, Texts const& questions, std::vector<int> const& about,
           blip::AnswerOptions const& options) const = 0;
    virtual std::vector<std::vector<blip::ChosenAnswer>>
    rank(blip::Pixels const& pixels, Texts const& questions, std::vector<int> const& about,
         blip::RankOptions const& options) const = 0;
};

struct Types {
    static constexpr auto task = blip::Task::question_answering;
    template <class C>
    using model = blip::QuestionAnswerer<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<AnswerModel, model<C>> {
    public:
        using LoadedAs<AnswerModel, model<C>>::LoadedAs;

        blip::GenerationDefaults generation_defaults() const override {
            return this->model_.generation_defaults();
        }
        void set_candidates(Texts const& texts) override {
            candidates_ = this->model_.answer_list(texts);
        }
        std::vector<std::vector<blip::Answer>>
        answer(blip::Pixels const& pixels, Texts const& questions, std::vector<int> const& about,
               blip::AnswerOptions const& options) const override {
            return this->model_.answer(pixels, questions, options, about);
        }
        std::vector<std::vector<blip::ChosenAnswer>>
        rank(blip::Pixels const& pixels, Texts const& questions, std::vector<int> const& about,
             blip::RankOptions const& options) const override {
            return this->model_.rank(pixels, questions, *candidates_, options, about);
        }

    private:
        std::optional<blip::AnswerList> candidates_;
    };
};

Schema schema(Arguments const& a) {
    Schema schema;
    schema.keys = {"path", "question"};
    schema.columns = {"rank", "answer", "score", "log_probability"};
    schema.entries = a.results();
    schema.title = "Answers";
    schema.one = "question";
    schema.many = "questions";
    return schema;
}

/// Answers the questions about each picture: all of --question, or the one of its list entry.
class AnswerJob final : public Job {
public:
    AnswerJob(Arguments const& arguments, AnswerModel const& model)
        : arguments_(arguments), model_(model), options_(arguments.options),
          ranking_(arguments.ranking) {
        options_.results = arguments.top;
        ranking_.results = static_cast<int>(arguments.results());
        // An answer is to depend on its own question alone, however questions are batched.
        options_.attend_padding = false;
        settle_search(options_, model.generation_defaults());
    }

    std::vector<Key> keys(Item const& item) const override {
        std::vector<Key> all;
        for (auto const& question : arguments_.questions_of(item))
            all.push_back({item.paths.front(), question});
        return all;
    }

    void prepare(Work& work) const override {
        read_pictures(work, {.preprocess = model_.preprocessing(),
                             .upright = arguments_.exif_orientation,
                             .thumbnails = !arguments_.html.empty()});
    }

    /// A question may be too long, or no UTF-8.
    bool fails_by_item() const override { return true; }

    void compute(std::span<Work* const> batch) override {
        for_each_numbered(batch, *options_.sample,
                          [this](std::span<Work* const> some) { ask(some); });
    }

private:
    void ask(std::span<Work* const> batch) {
        Texts questions;
        std::vector<int> about;
        std::vector<Record*> records;
        for (std::size_t i = 0; i < batch.size(); ++i)
            for (auto& record : batch[i]->records) {
                auto const& question = record.key.back();
                questions.push_back(arguments_.clean ? blip::clean_question(question) : question);
                about.push_back(static_cast<int>(i));
                records.push_back(&record);
            }
        auto const pixels = gather_pixels(batch, model_.preprocessing().size);
        if (arguments_.ranks()) {
            auto const found = model_.rank(pixels, questions, about, ranking_);
            for (std::size_t i = 0; i < found.size(); ++i)
                fill(*records[i], found[i]);
            return;
        }
        auto options = options_;
        auto const& first = batch.front()->item;
        options.first_question = first.index * arguments_.questions_of(first).size() + first.done;
        auto const found = model_.answer(pixels, questions, about, options);
        for (std::size_t i = 0; i < found.size(); ++i)
            fill(*records[i], found[i]);
    }

    static void fill(Record& record, std::vector<blip::Answer> const& answers) {
        auto& list = record.members["answers"] = nlohmann::ordered_json::array();
        for (auto const& answer : answers) {
            list.push_back({{"text", answer.text},
                            {"log_probability", answer.log_probability},
                            {"score", answer.score},
                            {"ids", answer.ids},
                            {"token_log_probabilities", answer.token_log_probabilities}});
            record.entries.push_back(
                {.text = answer.text,
                 .cells = {std::to_string(list.size()), answer.text, number_text(answer.score),
                           number_text(answer.log_probability)},
                 .share = confidence(answer.token_log_probabilities),
                 .hint =
                     "mean probability of a token; log p " + number_text(answer.log_probability)});
        }
    }

    static void fill(Record& record, std::vector<blip::ChosenAnswer> const& answers) {
        auto& list = record.members["answers"] = nlohmann::ordered_json::array();
        for (auto const& answer : answers) {
            list.push_back({{"text", answer.text}, {"score", answer.score}});
            record.entries.push_back(
                {.text = answer.text,
                 .cells = {std::to_string(list.size()), answer.text, number_text(answer.score), ""},
                 .note = "score " + number_text(answer.score)});
        }
    }

    Arguments const& arguments_;
    AnswerModel const& model_;
    blip::AnswerOptions options_;
    blip::RankOptions ranking_;
};

void add_options(CLI::App& app, Arguments& a) {
    auto const count = silent(CLI::Range(1, 1024)), length = silent(CLI::Range(1, 1 << 16));
    add_model_options(app, a);
    add_path_options(app, a);
    std::string group = "Questions";
    app.add_option("--question", a.questions, "Asked about every picture; may be given again")
        ->type_name("TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group(group);
    app.add_option("--questions", a.questions_file, "The same from a file with a question a line")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--list", a.list,
                   "Pictures with a question each, in place of PATHs: JSON objects a line, a JSON "
                   "array, or CSV with a line of names, with \"image\" and \"question\"; - for "
                   "standard input")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--root", a.root, "Where relative paths of the list start from")
        ->type_name("FOLDER")
        ->group(group);
    app.add_flag("--clean", a.clean, "Clean questions as the published evaluation does")
        ->group(group);
    group = "Answers";
    app.add_option("--top", a.top, "Answers to each question, best first")
        ->check(count)
        ->group(group);
    auto* rank = app.add_option("--rank", a.candidates_file,
                                "Choose from the answers in FILE, one a line, as the published "
                                "numbers were made")
                     ->type_name("FILE")
                     ->group(group);
    app.add_option("--keep", a.ranking.keep, "Answers that are judged whole, of all in --rank")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->needs(rank)
        ->group(group);
    auto& o = a.options;
    auto* beams = app.add_option("--beams", o.beams, "Beams of the search; 1 is greedy")
                      ->check(count)
                      ->excludes(rank)
                      ->group(group);
    auto* sample = app.add_flag_callback(
                          "--sample", [&o] { o.sample = true; }, "Draw answers at random")
                       ->excludes(beams)
                       ->excludes(rank)
                       ->group(group);
    app.add_option("--max-length", o.max_length, "Most tokens, start token included")
        ->check(length)
        ->excludes(rank)
        ->group(group);
    app.add_option("--min-length", o.min_length, "Fewest tokens, start token included")
        ->check(silent(CLI::Range(0, 1 << 24)))
        ->excludes(rank)
        ->group(group);
    app.add_option("--top-p", o.top_p, "Sample from the likeliest tokens with this share; 1: all")
        ->check(silent(CLI::Range(1e-9, 1.0)))
        ->needs(sample)
        ->group(group);
    app.add_option("--temperature", o.temperature, "Above 1 samples wilder, below 1 tamer")
        ->check(silent(CLI::PositiveNumber))
        ->needs(sample)
        ->group(group);
    app.add_option("--seed", o.seed, "Of samples and of --random-model's weights")->group(group);
    app.add_option("--length-penalty", o.length_penalty,
                   "Exponent of the length that beam scores are divided by")
        ->excludes(rank)
        ->group(group);
    add_output_options(app, a);
    add_random_model_options(app, a, false);
    app.footer(R"(Text output is a line for each answer: path, question, answer.

Examples:
  answer blip-vqa photo.jpg --question "what color is the car?"
  answer blip-vqa photos --question "is it day or night?" --question "who is there?" --format csv
  answer blip-vqa --list questions.jsonl --root images --output answers.jsonl --html answers.html
  answer blip-vqa --list questions.csv --output answers.jsonl --resume
  answer blip-vqa photo.jpg --question "how many dogs?" --rank answers.txt --top 5
  answer --random-model untrained --size base

Exit status: 0 when every question has an answer, 1 when some pictures could not be read or some
entries of the list used, 2 when nothing could be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--question", a.questions);
    all.add("--clean", a.clean);
    all.add("--top", a.top);
    all.add("--rank", a.candidates);
    all.add("--keep", a.ranking.keep);
    all.add("--beams", a.options.beams);
    all.add("--sample", a.options.sample);
    all.add("--max-length", a.options.max_length);
    all.add("--min-length", a.options.min_length);
    all.add("--top-p", a.options.top_p);
    all.add("--temperature", a.options.temperature);
    all.add("--seed", a.options.seed);
    all.add("--length-penalty", a.options.length_penalty);
    return all;
}

void check(Arguments& a) {
    a.check_run();
    if (!a.questions_file.empty())
        for (auto& question : read_texts(a.questions_file))
            a.questions.push_back(std::move(question));
    if (!a.list.empty() && (!a.paths.empty() || !a.questions.empty()))
        throw UsageError("--list brings its own pictures and questions; it takes no PATH and no "
                         "--question");
    if (!a.root.empty() && a.list.empty())
        throw UsageError("--root says where paths of a --list start from; there is none");
    if (a.list.empty()) {
        a.check_paths();
        if (a.questions.empty())
            throw UsageError("no question: give --question \"...\", --questions FILE, or --list");
    }
    if (!a.candidates_file.empty())
        a.candidates = read_texts(a.candidates_file);
    if (!a.ranks() && !a.options.sample.value_or(false) && a.options.beams &&
        a.top > *a.options.beams)
        throw UsageError(
            blip::join("--top ", a.top, " needs --beams ", a.top, " or more, --sample or --rank"));
}

int answer(Arguments& a) {
    check(a);
    auto const model = load_model<AnswerModel, Models, Types>("answer", a);
    if (a.ranks())
        model->set_candidates(a.candidates);
    AnswerJob job(a, *model);
    auto const from_row = [](ListRow const& row) {
        return Item{.paths = {row.text({"image", "path"})},
                    .texts = {row.text({"question", "text"})}};
    };
    auto const items =
        a.list.empty() ? picture_items(a.paths, a.subfolders())
                       : list_items(a.list, a.root, from_row, Item{.paths = {""}, .texts = {""}});
    RunOptions options{.program = "answer", .resumable = !a.output.empty()};
    if (!a.list.empty()) {
        options.one = "question";
        options.many = "questions";
        options.nothing_found = a.list + ": holds no entries";
    }
    return run_job(job, *items, a, schema(a), recorded(a), options);
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Answers questions about pictures.", "answer");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("answer", [&] {
        if (!arguments.random_model.empty()) {
            arguments.check_random_model();
            return write_random_model<Models, Types>(arguments, 384, arguments.options.seed);
        }
        catch_interrupts();
        return answer(arguments);
    });
}
