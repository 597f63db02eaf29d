// Says how well texts fit pictures: match MODEL PATH... --text "..."

#include <algorithm>
#include <cstddef>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/models/matcher.hpp>

#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"
#include "support/number_text.hpp"
#include "support/random_model.hpp"

namespace {

using namespace support;
using Texts = std::vector<std::string>;

struct Arguments : CommonArguments {
    Texts texts;
    std::string texts_file;
    std::size_t top = 0;
    bool by_cosine = false;
    bool cosine_only = false;
    std::optional<blip::FirstToken> first_token;

    std::size_t results() const { return top == 0 ? texts.size() : std::min(top, texts.size()); }
};

/// A matcher of any of these sizes.
struct MatchModel : AnyModel {
    virtual void set_texts(Texts const& texts, Arguments const& a) = 0;
    /// All texts against each picture; no probabilities where only cosines are wanted.
    virtual std::vector<std::vector<blip::Match>> match(blip::Pixels const& pixels) const = 0;
};

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<MatchModel, model<C>> {
    public:
        using LoadedAs<MatchModel, model<C>>::LoadedAs;

        void set_texts(Texts const& texts, Arguments const& a) override {
            texts_ = texts;
            options_.first_token = a.first_token;
            options_.cosine = false;
            cosine_only_ = a.cosine_only;
            vectors_ = this->model_.text_embeddings(texts_, options_);
        }
        std::vector<std::vector<blip::Match>> match(blip::Pixels const& pixels) const override {
            auto const states = this->model_.encode(pixels);
            auto const cosines = blip::cosines_of(this->model_.image_embeddings(states), *vectors_);
            std::vector<std::vector<blip::Match>> all;
            for (std::size_t i = 0; i < pixels.shape()[0]; ++i) {
                auto& matches = all.emplace_back(texts_.size());
                if (!cosine_only_)
                    matches =
                        this->model_.match_texts(blip::items_of(states, i, 1), texts_, options_);
                for (std::size_t j = 0; j < matches.size(); ++j)
                    matches[j].cosine = cosines(i, j);
            }
            return all;
        }

    private:
        Texts texts_;
        blip::MatchOptions options_;
        bool cosine_only_ = false;
        std::optional<typename model<C>::Vectors> vectors_;
    };
};

Schema schema(Arguments const& a) {
    Schema schema;
    schema.columns = {"rank", "text", "probability", "cosine", "width", "height"};
    schema.entries = a.results();
    schema.title = "Matches";
    return schema;
}

/// Says which texts fit each picture, best first.
class MatchJob final : public Job {
public:
    MatchJob(Arguments const& arguments, MatchModel const& model)
        : arguments_(arguments), model_(model) {}

    void prepare(Work& work) const override {
        read_pictures(work, {.preprocess = model_.preprocessing(),
                             .upright = arguments_.exif_orientation,
                             .thumbnails = !arguments_.html.empty()});
    }

    void compute(std::span<Work* const> batch) override {
        auto const all = model_.match(gather_pixels(batch, model_.preprocessing().size));
        for (std::size_t i = 0; i < batch.size(); ++i)
            fill(batch[i]->records.front(), all[i], batch[i]->sizes.front());
    }

private:
    void fill(Record& record, std::vector<blip::Match> const& matches, blip::ImageSize size) const {
        std::vector<std::size_t> order(matches.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        bool const by_cosine = arguments_.by_cosine || arguments_.cosine_only;
        auto const score = [&](std::size_t i) {
            return by_cosine ? *matches[i].cosine : matches[i].scores[1] - matches[i].scores[0];
        };
        std::stable_sort(order.begin(), order.end(),
                         [&](std::size_t a, std::size_t b) { return score(a) > score(b); });
        order.resize(arguments_.results());
        auto& list = record.members["matches"] = nlohmann::ordered_json::array();
        for (auto const i : order) {
            auto const& text = arguments_.texts[i];
            auto const& match = matches[i];
            Entry entry{.text = text};
            nlohmann::ordered_json object{{"text", text}};
            std::string probability;
            if (!arguments_.cosine_only) {
                object["probability"] = match.probability;
                object["scores"] = match.scores;
                probability = number_text(match.probability);
                entry.share = match.probability;
                entry.line.push_back(rounded_text(match.probability, "%.4f"));
            } else {
                entry.share = std::max(0.0, *match.cosine);
            }
            object["cosine"] = *match.cosine;
            list.push_back(std::move(object));
            entry.hint = arguments_.cosine_only ? "cosine" : "probability that the text fits";
            entry.note = "cosine " + rounded_text(*match.cosine, "%.4f");
            entry.line.push_back(rounded_text(*match.cosine, "%.4f"));
            entry.line.push_back(text);
            entry.cells = {std::to_string(list.size()),
                           text,
                           probability,
                           number_text(*match.cosine),
                           std::to_string(size.width),
                           std::to_string(size.height)};
            record.entries.push_back(std::move(entry));
        }
        record.members["width"] = size.width;
        record.members["height"] = size.height;
        record.note = blip::join(size.width, " × ", size.height);
    }

    Arguments const& arguments_;
    MatchModel const& model_;
};

void add_options(CLI::App& app, Arguments& a) {
    using blip::FirstToken;
    add_model_options(app, a);
    add_path_options(app, a);
    std::string const group = "Texts";
    app.add_option("--text", a.texts, "A text to compare every picture with; may be given again")
        ->type_name("TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group(group);
    app.add_option("--texts", a.texts_file, "The same from a file with a text a line")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--top", a.top, "Texts for each picture, best first; 0: all")
        ->check(silent(CLI::Range(0, 1 << 20)))
        ->group(group);
    app.add_flag("--by-cosine", a.by_cosine, "Order by the cosine, not by the match probability")
        ->group(group);
    app.add_flag("--cosine-only", a.cosine_only,
                 "Compute cosines only: far faster where there are many texts")
        ->group(group);
    app.add_option("--first-token", a.first_token,
                   "cls (as the published scores) or enc (as the models were trained); default: "
                   "cls, or enc with --compatibility strict")
        ->transform(silent(CLI::CheckedTransformer(
            std::map<std::string, FirstToken>{{"cls", FirstToken::cls}, {"enc", FirstToken::enc}})))
        ->type_name("NAME")
        ->group(group);
    add_output_options(app, a);
    add_random_model_options(app, a);
    app.footer(
        R"(Text output is a line for each picture and text: path, match probability, cosine, text.

Examples:
  match blip-itm photo.jpg --text "a dog on a beach" --text "a cat on a sofa"
  match blip-itm photos --recursive --texts labels.txt --top 3 --output matches.csv
  match blip-itm photos --texts labels.txt --cosine-only --format jsonl
  match blip-itm photos --text "a sunset" --html page.html --output matches.jsonl
  match --random-model untrained --size base

Exit status: 0 when every picture was compared, 1 when some could not be read, 2 when nothing
could be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--text", a.texts);
    all.add("--top", a.top);
    all.add("--by-cosine", a.by_cosine);
    all.add("--cosine-only", a.cosine_only);
    std::optional<std::string> first;
    if (a.first_token)
        first = *a.first_token == blip::FirstToken::cls ? "cls" : "enc";
    all.add("--first-token", first);
    return all;
}

int match(Arguments& a) {
    a.check_run();
    a.check_paths();
    if (!a.texts_file.empty())
        for (auto& text : read_texts(a.texts_file))
            a.texts.push_back(std::move(text));
    if (a.texts.empty())
        throw UsageError("no text: give --text \"...\" or --texts FILE");
    auto const model = load_model<MatchModel, MatchingModels, Types>("match", a);
    model->set_texts(a.texts, a);
    MatchJob job(a, *model);
    auto const items = picture_items(a.paths, a.subfolders());
    return run_job(job, *items, a, schema(a), recorded(a),
                   {.program = "match", .resumable = !a.output.empty()});
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Says how well texts fit pictures.", "match");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("match", [&] {
        if (!arguments.random_model.empty()) {
            arguments.check_random_model();
            return write_random_model<MatchingModels, Types>(arguments, 384, arguments.seed);
        }
        catch_interrupts();
        return match(arguments);
    });
}
