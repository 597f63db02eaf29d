// Says whether a sentence is true of two pictures: reason MODEL LEFT RIGHT "sentence"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/pair_reasoner.hpp>

#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"
#include "support/random_model.hpp"

namespace {

using namespace support;

/// The size that was published for NLVR2, and those of BLIP_MODELS.
using Models = Served<blip::config::pair_models, blip::config::built_in_pair_reasoners>;

struct Arguments : CommonArguments {
    std::string list;
    std::string root;
};

/// A pair reasoner of any of these sizes.
struct PairModel : AnyModel {
    /// Sentence i about first[i] beside second[i].
    virtual std::vector<blip::PairJudgement>
    predict(blip::Pixels const& first, blip::Pixels const& second,
            std::vector<std::string> const& sentences) const = 0;
};

struct Types {
    static constexpr auto task = blip::Task::pair_reasoning;
    template <class C>
    using model = blip::PairReasoner<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<PairModel, model<C>> {
    public:
        using LoadedAs<PairModel, model<C>>::LoadedAs;

        std::vector<blip::PairJudgement>
        predict(blip::Pixels const& first, blip::Pixels const& second,
                std::vector<std::string> const& sentences) const override {
            return this->model_.predict(first, second, sentences);
        }
    };
};

Schema schema() {
    Schema schema;
    schema.keys = {"first", "second", "sentence"};
    schema.columns = {"answer", "probability"};
    schema.title = "Sentences about two pictures";
    schema.one = "sentence";
    schema.many = "sentences";
    return schema;
}

/// Judges the sentences about each pair of pictures.
class ReasonJob final : public Job {
public:
    ReasonJob(Arguments const& arguments, PairModel const& model)
        : arguments_(arguments), model_(model) {}

    std::vector<Key> keys(Item const& item) const override {
        std::vector<Key> all;
        for (auto const& sentence : item.texts)
            all.push_back({item.paths.at(0), item.paths.at(1), sentence});
        return all;
    }

    void prepare(Work& work) const override {
        read_pictures(work, {.preprocess = model_.preprocessing(),
                             .upright = arguments_.exif_orientation,
                             .thumbnails = !arguments_.html.empty()});
    }

    /// A sentence may be too long, or no UTF-8.
    bool fails_by_item() const override { return true; }

    void compute(std::span<Work* const> batch) override {
        // Pairs with as many sentences go together.
        while (!batch.empty()) {
            std::size_t count = 1;
            while (count < batch.size() && batch[count]->records.size() == batch[0]->records.size())
                ++count;
            judge(batch.first(count));
            batch = batch.subspan(count);
        }
    }

private:
    void judge(std::span<Work* const> batch) {
        std::vector<std::string> sentences;
        std::vector<Record*> records;
        for (auto* work : batch)
            for (auto& record : work->records) {
                sentences.push_back(record.key.back());
                records.push_back(&record);
            }
        auto const side = model_.preprocessing().size;
        auto const judgements =
            model_.predict(gather_pixels(batch, side, 0), gather_pixels(batch, side, 1), sentences);
        for (std::size_t i = 0; i < judgements.size(); ++i)
            fill(*records[i], judgements[i]);
    }

    static void fill(Record& record, blip::PairJudgement const& judgement) {
        auto const* answer = judgement.is_true() ? "true" : "false";
        record.members["answer"] = judgement.is_true();
        record.members["probability"] = judgement.probability;
        record.members["logits"] = judgement.logits;
        auto const probability = number_text(judgement.probability);
        record.entries.push_back({.text = answer,
                                  .line = {answer, probability},
                                  .cells = {answer, probability},
                                  .share = judgement.probability,
                                  .hint = "probability that the sentence is true"});
    }

    Arguments const& arguments_;
    PairModel const& model_;
};

/// The one pair of the command line.
class OnePair final : public ItemSource {
public:
    explicit OnePair(std::vector<std::string> const& words)
        : item_{.paths = {words.at(0), words.at(1)}, .texts = {words.begin() + 2, words.end()}} {}

    std::optional<Item> next() override {
        return std::exchange(done_, true) ? std::nullopt : std::optional(item_);
    }
    std::optional<std::uint64_t> count(std::stop_token) const override { return 1; }

private:
    Item item_;
    bool done_ = false;
};

void add_options(CLI::App& app, Arguments& a) {
    add_model_options(app, a);
    app.add_option("pair", a.paths, "The left picture, the right one, and sentences about them")
        ->type_name("LEFT RIGHT SENTENCE");
    app.add_option("--list", a.list,
                   "Many pairs: JSON objects a line, a JSON array, or CSV with a line of names, "
                   "with \"images\" (two paths) or \"first\" and \"second\", and \"sentence\"; - "
                   "for standard input")
        ->type_name("FILE");
    app.add_option("--root", a.root, "Where relative paths of the list start from")
        ->type_name("FOLDER");
    add_picture_options(app, a);
    add_output_options(app, a);
    add_random_model_options(app, a);
    app.footer(
        R"(Text output is a line for each sentence: both paths, the sentence, true or false, the probability
that it is true.

Examples:
  reason blip-nlvr left.jpg right.jpg "there are two dogs in each picture"
  reason blip-nlvr --list pairs.jsonl --root images --output judged.jsonl --html judged.html
  reason blip-nlvr --list pairs.csv --output judged.csv --resume
  reason --random-model untrained --size base

Exit status: 0 when every sentence was judged, 1 when some pictures could not be read or some
entries of the list used, 2 when nothing could be done, 130 after Ctrl-C.)");
}

int reason(Arguments& a) {
    if (!a.list.empty() && !a.paths.empty())
        throw UsageError("--list brings its own pictures and sentences; it takes none beside it");
    if (!a.root.empty() && a.list.empty())
        throw UsageError("--root says where paths of a --list start from; there is none");
    a.check_run();
    if (a.list.empty() && a.paths.size() < 3)
        throw UsageError("expected two pictures and a sentence, or --list FILE");
    auto const model = load_model<PairModel, Models, Types>("reason", a);
    ReasonJob job(a, *model);
    auto const from_row = [](ListRow const& row) {
        return Item{.paths = row.pair({"images"}, {"first", "image0", "left"},
                                      {"second", "image1", "right"}),
                    .texts = {row.text({"sentence", "text"})}};
    };
    std::unique_ptr<ItemSource> items;
    if (a.list.empty())
        items = std::make_unique<OnePair>(a.paths);
    else
        items = list_items(a.list, a.root, from_row, Item{.paths = {"", ""}, .texts = {""}});
    return run_job(job, *items, a, schema(), a.recorded(),
                   {.program = "reason",
                    .one = "pair",
                    .many = "pairs",
                    .nothing_found = a.list + ": holds no entries",
                    .resumable = !a.output.empty()});
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Says whether a sentence is true of two pictures.", "reason");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("reason", [&] {
        if (!arguments.random_model.empty()) {
            arguments.check_random_model();
            return write_random_model<Models, Types>(arguments, 384, arguments.seed);
        }
        catch_interrupts();
        return reason(arguments);
    });
}
