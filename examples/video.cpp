// Matches texts with clips, or answers questions about them: video MODEL CLIP... --text "..."

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/vision/frames.hpp>

#include "support/confidence.hpp"
#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/number_text.hpp"
#include "video/model.hpp"

namespace {

using namespace support;
using namespace video;

struct Arguments : CommonArguments {
    Texts texts, questions;
    std::string texts_file, questions_file;
    Texts candidates;
    std::string candidates_file;
    blip::RankOptions ranking;
    int top = 1;
    std::size_t frames = 0;

    bool asks() const { return !questions.empty() || !questions_file.empty(); }
    bool ranks() const { return !candidates.empty(); }
    /// Frames of each clip: as in the paper, unless the user said.
    std::size_t sampled() const { return frames > 0 ? frames : asks() ? 16 : 8; }
    /// Answers to each question.
    std::size_t results() const {
        return std::min({static_cast<std::size_t>(top), std::max<std::size_t>(1, candidates.size()),
                         static_cast<std::size_t>(ranking.keep)});
    }
};

Schema schema(Arguments const& a) {
    Schema schema;
    if (a.asks()) {
        schema.keys = {"path", "question"};
        schema.columns = {"rank", "answer", "score", "log_probability"};
        schema.entries = a.results();
        schema.title = "Answers about clips";
        schema.one = "question";
        schema.many = "questions";
    } else {
        schema.columns = {"rank", "text", "probability", "cosine"};
        schema.entries = a.texts.size();
        schema.title = "Texts and clips";
        schema.one = "clip";
        schema.many = "clips";
    }
    return schema;
}

class VideoJob final : public Job {
public:
    VideoJob(Arguments const& arguments, Model const& model)
        : arguments_(arguments), model_(model), ranking_(arguments.ranking) {
        ranking_.results = static_cast<int>(arguments.results());
    }

    std::vector<Key> keys(Item const& item) const override {
        if (!arguments_.asks())
            return {item.paths};
        std::vector<Key> all;
        for (auto const& question : arguments_.questions)
            all.push_back({item.paths.front(), question});
        return all;
    }

    void prepare(Work& work) const override {
        blip::FrameOptions options{.wanted = arguments_.sampled()};
        if (arguments_.exif_orientation)
            options.read.orientation = blip::Orientation::upright;
        auto const frames = blip::read_frames(work.item.paths.front(), options);
        auto const pixels = blip::preprocess(frames, model_.preprocessing());
        work.pixels.assign(pixels.begin(), pixels.end());
        if (!arguments_.html.empty())
            for (std::size_t i : {std::size_t{0}, frames.size() / 2, frames.size() - 1})
                for (auto& record : work.records)
                    record.pictures.push_back(thumbnail_of(frames[i]));
        for (auto& record : work.records)
            record.note = blip::join(frames.size(), " frames");
    }

    bool fails_by_item() const override { return true; }

    void compute(std::span<Work* const> batch) override {
        for (auto* work : batch) {
            auto const frames =
                gather_pixels(std::span<Work* const>(&work, 1), model_.preprocessing().size);
            if (arguments_.asks()) {
                Texts questions;
                for (auto const& record : work->records)
                    questions.push_back(record.key.back());
                if (arguments_.ranks()) {
                    auto const chosen = model_.rank(frames, questions, ranking_);
                    for (std::size_t i = 0; i < chosen.size(); ++i)
                        fill(work->records[i], chosen[i]);
                    continue;
                }
                auto const answers = model_.answer(frames, questions);
                for (std::size_t i = 0; i < answers.size(); ++i)
                    fill(work->records[i], answers[i].front());
            } else {
                fill(work->records.front(), model_.match(frames, arguments_.texts));
            }
        }
    }

private:
    static void fill(Record& record, blip::Answer const& answer) {
        record.members["answer"] = answer.text;
        record.members["log_probability"] = answer.log_probability;
        record.members["score"] = answer.score;
        record.entries.push_back(
            {.text = answer.text,
             .cells = {"1", answer.text, number_text(answer.score),
                       number_text(answer.log_probability)},
             .share = confidence(answer.token_log_probabilities),
             .hint = "mean probability of a token; log p " + number_text(answer.log_probability)});
    }

    static void fill(Record& record, std::vector<blip::ChosenAnswer> const& answers) {
        record.members["answer"] = answers.front().text;
        auto& list = record.members["answers"] = nlohmann::ordered_json::array();
        for (auto const& answer : answers) {
            list.push_back({{"text", answer.text}, {"score", answer.score}});
            record.entries.push_back(
                {.text = answer.text,
                 .cells = {std::to_string(list.size()), answer.text, number_text(answer.score), ""},
                 .note = "score " + number_text(answer.score)});
        }
    }

    void fill(Record& record, std::vector<blip::Match> const& matches) const {
        std::vector<std::size_t> order(matches.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
            return matches[i].probability > matches[j].probability;
        });
        auto& list = record.members["matches"] = nlohmann::ordered_json::array();
        for (auto const i : order) {
            auto const& text = arguments_.texts[i];
            double const probability = matches[i].probability, cosine = *matches[i].cosine;
            list.push_back({{"text", text}, {"probability", probability}, {"cosine", cosine}});
            record.entries.push_back(
                {.text = text,
                 .line = {rounded_text(probability, "%.4f"), rounded_text(cosine, "%.4f"), text},
                 .cells = {std::to_string(list.size()), text, number_text(probability),
                           number_text(cosine)},
                 .share = probability,
                 .hint = "probability that the text fits",
                 .note = "cosine " + rounded_text(cosine, "%.4f")});
        }
    }

    Arguments const& arguments_;
    Model const& model_;
    blip::RankOptions ranking_;
};

/// Every path is a clip: folders are not searched, they are clips of frames.
class Clips final : public ItemSource {
public:
    explicit Clips(Texts const& words) {
        for (auto const& word : words) {
            if (word.size() > 1 && word.front() == '@')
                for (auto& path : read_texts(word.substr(1)))
                    paths_.push_back(std::move(path));
            else
                paths_.push_back(word);
        }
    }
    std::optional<Item> next() override {
        if (next_ == paths_.size())
            return std::nullopt;
        return Item{.index = next_, .paths = {paths_[next_++]}};
    }
    std::optional<std::uint64_t> count(std::stop_token) const override { return paths_.size(); }

private:
    Texts paths_;
    std::size_t next_ = 0;
};

void add_options(CLI::App& app, Arguments& a) {
    add_model_options(app, a);
    app.add_option("clips", a.paths,
                   "Clips: folders of frames, animated GIF or WebP files, video files where the "
                   "build has libav, or @FILE with a path a line")
        ->type_name("CLIP");
    app.add_flag("--exif-orientation", a.exif_orientation,
                 "Turn frames upright as the camera noted");
    app.add_option(
           "--frames", a.frames,
           "Frames of each clip, uniformly sampled (default: 8 for texts, 16 for questions, "
           "as in the paper)")
        ->check(silent(CLI::Range(1, 1 << 10)));
    std::string group = "Texts";
    auto const texts = [&](char const* name, Texts& into, char const* what) {
        return app.add_option(name, into, what)
            ->type_name("TEXT")
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->group(group);
    };
    auto const file = [&](char const* name, std::string& into, char const* what) {
        return app.add_option(name, into, what)->type_name("FILE")->group(group);
    };
    auto* text = texts("--text", a.texts, "A text to compare every clip with; may be given again");
    auto* text_file = file("--texts", a.texts_file, "The same from a file with a text a line");
    auto* question = texts("--question", a.questions,
                           "Asked about every clip, with a model of question answering; may be "
                           "given again");
    auto* question_file =
        file("--questions", a.questions_file, "The same from a file with a question a line");
    for (auto* one : {question, question_file})
        one->excludes(text)->excludes(text_file);
    auto* rank = file("--rank", a.candidates_file, "Choose answers from those in FILE, one a line")
                     ->excludes(text)
                     ->excludes(text_file);
    app.add_option("--keep", a.ranking.keep, "Answers that are judged whole, of all in --rank")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->needs(rank)
        ->group(group);
    app.add_option("--top", a.top, "Answers of --rank to each question, best first")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1024)))
        ->needs(rank)
        ->group(group);
    add_output_options(app, a);
    add_random_model_options(app, a);
    app.footer(
        R"(Text output is a line for each result: clip, then probability, cosine and text; or clip, question
and answer.

Examples:
  video blip-retrieval clip.gif --text "a dog runs" --text "a car turns"
  video blip-vqa frames --question "what is the man doing?" --frames 8
  video blip-vqa @clips.txt --question "who is there?" --output answers.jsonl --html answers.html
  video blip-vqa clip.gif --question "what happens?" --rank answers.txt --top 3
  video --random-model untrained --size large

Exit status: 0 when every clip was looked at, 1 when some could not be read, 2 when nothing could
be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--text", a.texts);
    all.add("--question", a.questions);
    all.add("--rank", a.candidates);
    all.add("--keep", a.ranking.keep);
    all.add("--top", a.top);
    all.add("--frames", a.sampled());
    return all;
}

int run(Arguments& a) {
    a.check_run();
    if (a.paths.empty())
        throw UsageError("CLIP is missing: name folders of frames, animations or video files");
    for (auto const& [path, into] :
         {std::pair(&a.texts_file, &a.texts), std::pair(&a.questions_file, &a.questions),
          std::pair(&a.candidates_file, &a.candidates)})
        if (!path->empty())
            for (auto& line : read_texts(*path))
                into->push_back(std::move(line));
    if (a.texts.empty() && !a.asks())
        throw UsageError("nothing to do: give --text \"...\" or --question \"...\"");
    if (a.ranks() && !a.asks())
        throw UsageError("--rank says what answers there are; ask with --question \"...\"");
    // Frames of a clip fill a batch by themselves.
    a.batch = 1;
    auto const model = a.asks() ? load_answerer(a) : load_matcher(a);
    if (a.ranks())
        model->set_candidates(a.candidates);
    VideoJob job(a, *model);
    Clips clips(a.paths);
    return run_job(job, clips, a, schema(a), recorded(a),
                   {.program = "video",
                    .one = "clip",
                    .many = "clips",
                    .nothing_found = "no clips named",
                    .resumable = !a.output.empty()});
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Matches texts with clips, or answers questions about them.", "video");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("video", [&] {
        if (!arguments.random_model.empty()) {
            arguments.check_random_model();
            return arguments.asks() ? write_random_answerer(arguments)
                                    : write_random_matcher(arguments);
        }
        catch_interrupts();
        return run(arguments);
    });
}
