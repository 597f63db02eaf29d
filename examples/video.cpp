// Matches texts with clips, or answers questions about them: video MODEL CLIP... --text "..."

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/video_question_answerer.hpp>
#include <blip/models/video_retriever.hpp>
#include <blip/vision/frames.hpp>

#include "support/confidence.hpp"
#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"

namespace {

using namespace support;
using Texts = std::vector<std::string>;

/// The sizes that were published for each of the two, and those of BLIP_MODELS.
using MatchModels =
    Served<blip::config::ModelList<blip::config::base<384>>, blip::config::built_in_matchers>;
using AnswerModels = Served<blip::config::ModelList<blip::config::base<480>>,
                            blip::config::built_in_question_answerers>;

struct Arguments : CommonArguments {
    Texts texts, questions;
    std::size_t frames = 0;

    bool asks() const { return !questions.empty(); }
    /// Frames of each clip: as in the paper, unless the user said.
    std::size_t sampled() const { return frames > 0 ? frames : asks() ? 16 : 8; }
};

/// A model that looks at clips; one of the two calls is there.
struct VideoModel : AnyModel {
    virtual std::vector<blip::Match> match(blip::Pixels const& frames, Texts const& texts) const {
        static_cast<void>(frames), static_cast<void>(texts);
        return {};
    }
    virtual std::vector<std::vector<blip::Answer>> answer(blip::Pixels const& frames,
                                                          Texts const& questions) const {
        static_cast<void>(frames), static_cast<void>(questions);
        return {};
    }
};

struct MatchTypes {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<VideoModel, model<C>> {
    public:
        explicit loaded(model<C> matcher)
            : LoadedAs<VideoModel, model<C>>(std::move(matcher)), clips_(this->model_) {}
        std::vector<blip::Match> match(blip::Pixels const& frames,
                                       Texts const& texts) const override {
            return clips_.match(clips_.encode(frames, frames.shape()[0]).front(), texts);
        }

    private:
        blip::VideoRetriever<C, blip::Cpu<float>> clips_;
    };
};

struct AnswerTypes {
    static constexpr auto task = blip::Task::question_answering;
    template <class C>
    using model = blip::QuestionAnswerer<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<VideoModel, model<C>> {
    public:
        explicit loaded(model<C> answerer)
            : LoadedAs<VideoModel, model<C>>(std::move(answerer)), clips_(this->model_) {}
        std::vector<std::vector<blip::Answer>> answer(blip::Pixels const& frames,
                                                      Texts const& questions) const override {
            return clips_.answer(frames, frames.shape()[0], questions, {.attend_padding = false});
        }

    private:
        blip::VideoQuestionAnswerer<C, blip::Cpu<float>> clips_;
    };
};

Schema schema(Arguments const& a) {
    Schema schema;
    if (a.asks()) {
        schema.keys = {"path", "question"};
        schema.columns = {"answer", "score", "log_probability"};
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

std::string fixed(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", value);
    return text;
}

class VideoJob final : public Job {
public:
    VideoJob(Arguments const& arguments, VideoModel const& model)
        : arguments_(arguments), model_(model) {}

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
             .cells = {answer.text, number_text(answer.score), number_text(answer.log_probability)},
             .share = confidence(answer.token_log_probabilities),
             .hint = "mean probability of a token; log p " + number_text(answer.log_probability)});
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
            record.entries.push_back({.text = text,
                                      .line = {fixed(probability), fixed(cosine), text},
                                      .cells = {std::to_string(list.size()), text,
                                                number_text(probability), number_text(cosine)},
                                      .share = probability,
                                      .hint = "probability that the text fits",
                                      .note = "cosine " + fixed(cosine)});
        }
    }

    Arguments const& arguments_;
    VideoModel const& model_;
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
    auto const take_all = [](CLI::Option* option) {
        option->type_name("TEXT")->expected(1)->multi_option_policy(
            CLI::MultiOptionPolicy::TakeAll);
        return option;
    };
    auto* text = take_all(
        app.add_option("--text", a.texts, "A text to compare every clip with; may be given again"));
    take_all(app.add_option("--question", a.questions,
                            "Asked about every clip, with a model of question answering; may be "
                            "given again"))
        ->excludes(text);
    add_output_options(app, a);
    app.footer(
        R"(Text output is a line for each result: clip, then probability, cosine and text; or clip, question
and answer.

Examples:
  video blip-retrieval clip.gif --text "a dog runs" --text "a car turns"
  video blip-vqa frames --question "what is the man doing?" --frames 8
  video blip-vqa @clips.txt --question "who is there?" --output answers.jsonl --html answers.html

Exit status: 0 when every clip was looked at, 1 when some could not be read, 2 when nothing could
be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--text", a.texts);
    all.add("--question", a.questions);
    all.add("--frames", a.sampled());
    return all;
}

int video(Arguments& a) {
    a.check_run();
    if (a.paths.empty())
        throw UsageError("CLIP is missing: name folders of frames, animations or video files");
    if (a.texts.empty() && !a.asks())
        throw UsageError("nothing to do: give --text \"...\" or --question \"...\"");
    // Frames of a clip fill a batch by themselves.
    a.batch = 1;
    auto const model = a.asks() ? load_model<VideoModel, AnswerModels, AnswerTypes>("video", a)
                                : load_model<VideoModel, MatchModels, MatchTypes>("video", a);
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
        catch_interrupts();
        return video(arguments);
    });
}
