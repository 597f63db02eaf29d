// Searches pictures by text or picture: retrieve index|query|rerank MODEL ...

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/models/retriever.hpp>
#include <blip/vision/read_image.hpp>

#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"

namespace {

using namespace support;
namespace fs = std::filesystem;
using Hits = std::vector<blip::Hit>;

/// The sizes that were published for retrieval, and those of BLIP_MODELS.
using Models = Served<blip::config::ModelList<blip::config::base<384>, blip::config::large<384>>,
                      blip::config::built_in_matchers>;

struct Arguments : CommonArguments {
    std::string index;
    std::string states; ///< file of stored image states
    bool append = false;
    std::vector<std::string> texts;
    std::string texts_file;
    std::vector<std::string> images;
    std::string results; ///< of an earlier query
    std::size_t top = 10;
    std::size_t rerank = 0;
};

/// A retriever of any of these sizes.
struct RetrieveModel : AnyModel {
    /// Opens or makes the files that `add` writes to.
    virtual void open_writers(std::string const& index, std::string const& states) = 0;
    virtual void add(blip::Pixels const& pixels, std::vector<std::string> const& labels) = 0;
    virtual std::uint64_t written() const = 0;
    /// The labels of an index file.
    virtual std::unordered_set<std::string> labels_of(std::string const& index) const = 0;
    /// Opens what is searched; `states` may be empty.
    virtual void open(std::string const& index, std::string const& states) = 0;
    virtual std::size_t size() const = 0;
    virtual std::vector<Hits> query(std::vector<std::string> const& texts,
                                    std::size_t top) const = 0;
    virtual std::vector<Hits> query(blip::Pixels const& pixels, std::size_t top) const = 0;
    /// Orders hits again by the match head, from stored states or from the picture files.
    virtual Hits rank(std::string const& text, Hits hits, bool upright) const = 0;
};

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Retriever<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<RetrieveModel, model<C>> {
    public:
        using LoadedAs<RetrieveModel, model<C>>::LoadedAs;

        void open_writers(std::string const& index, std::string const& states) override {
            writer_.emplace(index, this->model_.vector_layout());
            if (!states.empty())
                state_writer_.emplace(states, this->model_.state_layout());
        }
        void add(blip::Pixels const& pixels, std::vector<std::string> const& labels) override {
            this->model_.add_pixels(*writer_, pixels, labels,
                                    state_writer_ ? &*state_writer_ : nullptr);
        }
        std::uint64_t written() const override { return writer_->size(); }
        std::unordered_set<std::string> labels_of(std::string const& index) const override {
            auto const opened = this->model_.open_index(index);
            std::unordered_set<std::string> labels;
            for (std::size_t row = 0; row < opened.size(); ++row)
                labels.emplace(opened.label(static_cast<std::int64_t>(row)));
            return labels;
        }
        void open(std::string const& index, std::string const& states) override {
            index_.emplace(this->model_.open_index(index));
            if (!states.empty())
                states_.emplace(this->model_.open_states(states));
        }
        std::size_t size() const override { return index_->size(); }
        std::vector<Hits> query(std::vector<std::string> const& texts,
                                std::size_t top) const override {
            return this->model_.query(*index_, std::span<std::string const>(texts), top);
        }
        std::vector<Hits> query(blip::Pixels const& pixels, std::size_t top) const override {
            return this->model_.query(*index_, pixels, top);
        }
        Hits rank(std::string const& text, Hits hits, bool upright) const override {
            if (states_)
                return this->model_.rerank(text, std::move(hits), *states_);
            return this->model_.rerank(text, std::move(hits), [upright](blip::Hit const& hit) {
                return blip::read_image(hit.label,
                                        {.orientation = upright ? blip::Orientation::upright
                                                                : blip::Orientation::as_stored});
            });
        }

    private:
        std::optional<blip::RowFileWriter> writer_;
        std::optional<blip::StateWriter> state_writer_;
        std::optional<blip::VectorIndex> index_;
        std::optional<blip::StoredStates> states_;
    };
};

/// Encodes pictures into an index file.
class IndexJob final : public Job {
public:
    IndexJob(Arguments const& arguments, RetrieveModel& model,
             std::unordered_set<std::string> known)
        : arguments_(arguments), model_(model), known_(std::move(known)) {}

    bool is_done(Item const& item) const override { return known_.contains(item.paths.front()); }

    void prepare(Work& work) const override {
        read_pictures(
            work, {.preprocess = model_.preprocessing(), .upright = arguments_.exif_orientation});
    }

    void compute(std::span<Work* const> batch) override {
        std::vector<std::string> labels;
        for (auto const* work : batch)
            labels.push_back(work->item.paths.front());
        model_.add(gather_pixels(batch, model_.preprocessing().size), labels);
    }

private:
    Arguments const& arguments_;
    RetrieveModel& model_;
    std::unordered_set<std::string> known_;
};

Schema schema(std::size_t entries) {
    Schema schema;
    schema.keys = {"query"};
    schema.columns = {"rank", "path", "cosine", "match", "score"};
    schema.entries = entries;
    schema.title = "Search results";
    schema.one = "query";
    schema.many = "queries";
    return schema;
}

std::string fixed(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", value);
    return text;
}

/// What queries by text, by picture and ranking again have in common: how hits are shown.
class HitsJob : public Job {
public:
    HitsJob(Arguments const& arguments, RetrieveModel const& model)
        : arguments_(arguments), model_(model) {}

    std::vector<Key> keys(Item const& item) const override {
        return {{item.texts.empty() ? item.paths.front() : item.texts.front()}};
    }

    /// A query may be no UTF-8, or a picture that was found be gone.
    bool fails_by_item() const override { return true; }

protected:
    void fill(Record& record, Hits const& hits) const {
        auto& list = record.members["hits"] = nlohmann::ordered_json::array();
        for (auto const& hit : hits) {
            nlohmann::ordered_json object{
                {"row", hit.row}, {"path", hit.label}, {"cosine", hit.cosine}};
            if (hit.match)
                object["match"] = *hit.match;
            object["score"] = hit.score;
            list.push_back(std::move(object));
            Entry entry{.text = hit.label};
            entry.line = {fixed(hit.score), hit.label};
            entry.cells = {std::to_string(list.size()), hit.label, number_text(hit.cosine),
                           hit.match ? number_text(*hit.match) : "", number_text(hit.score)};
            entry.note = "cosine " + fixed(hit.cosine) +
                         (hit.match ? ", match logit " + fixed(*hit.match) : "");
            entry.share = std::max(0.0, hit.cosine);
            entry.hint = "cosine of query and picture";
            if (!arguments_.html.empty())
                entry.picture = thumbnail_of(hit.label, arguments_.exif_orientation);
            record.entries.push_back(std::move(entry));
        }
    }

    Hits rank(std::string const& text, Hits hits) const {
        // What is not judged again stays behind what is.
        auto const judged = std::min(arguments_.rerank, hits.size());
        Hits rest(hits.begin() + static_cast<std::ptrdiff_t>(judged), hits.end());
        hits.resize(judged);
        hits = model_.rank(text, std::move(hits), arguments_.exif_orientation);
        hits.insert(hits.end(), rest.begin(), rest.end());
        return hits;
    }

    Arguments const& arguments_;
    RetrieveModel const& model_;
};

/// Finds the pictures closest to texts and to pictures.
class QueryJob final : public HitsJob {
public:
    using HitsJob::HitsJob;

    void prepare(Work& work) const override {
        work.waits = true;
        if (work.item.texts.empty())
            read_pictures(work, {.preprocess = model_.preprocessing(),
                                 .upright = arguments_.exif_orientation,
                                 .thumbnails = !arguments_.html.empty()});
    }

    void compute(std::span<Work* const> batch) override {
        std::vector<std::string> texts;
        std::vector<Work*> of_texts, of_pictures;
        for (auto* work : batch) {
            if (work->item.texts.empty()) {
                of_pictures.push_back(work);
            } else {
                of_texts.push_back(work);
                texts.push_back(work->item.texts.front());
            }
        }
        auto const wanted = std::min(arguments_.top, model_.size());
        if (!of_texts.empty()) {
            auto found = model_.query(texts, std::max(wanted, arguments_.rerank));
            for (std::size_t i = 0; i < found.size(); ++i) {
                if (arguments_.rerank > 0)
                    found[i] = rank(texts[i], std::move(found[i]));
                found[i].resize(wanted);
                fill(of_texts[i]->records.front(), found[i]);
            }
        }
        if (!of_pictures.empty()) {
            auto const found =
                model_.query(gather_pixels(of_pictures, model_.preprocessing().size), wanted);
            for (std::size_t i = 0; i < found.size(); ++i)
                fill(of_pictures[i]->records.front(), found[i]);
        }
    }
};

/// Orders the hits of an earlier query again.
class RerankJob final : public HitsJob {
public:
    using HitsJob::HitsJob;

    void prepare(Work& work) const override { work.waits = true; }

    void compute(std::span<Work* const> batch) override {
        for (auto* work : batch) {
            auto& record = work->records.front();
            Hits hits;
            for (auto const& hit : nlohmann::json::parse(work->item.paths.front()))
                hits.push_back({.row = hit.at("row").get<std::int64_t>(),
                                .label = hit.at("path").get<std::string>(),
                                .cosine = hit.at("cosine").get<double>(),
                                .match = {},
                                .score = hit.at("cosine").get<double>()});
            fill(record, rank(work->item.texts.front(), std::move(hits)));
        }
    }
};

/// The queries of a command line.
class Queries final : public ItemSource {
public:
    explicit Queries(Arguments const& a) {
        for (auto const& text : a.texts)
            items_.push_back({.index = items_.size(), .texts = {text}});
        for (auto const& path : a.images)
            items_.push_back({.index = items_.size(), .paths = {path}});
    }
    std::optional<Item> next() override {
        return next_ == items_.size() ? std::nullopt : std::optional(items_[next_++]);
    }
    std::optional<std::uint64_t> count(std::stop_token) const override { return items_.size(); }

private:
    std::vector<Item> items_;
    std::size_t next_ = 0;
};

void add_index_options(CLI::App& app, Arguments& a) {
    add_model_options(app, a);
    add_path_options(app, a);
    app.add_option("--output", a.index, "The index file to write")->type_name("INDEX");
    app.add_option(
           "--states", a.states,
           "Also store what ranking again needs (some 0.9 MB a picture), so that no picture "
           "is ever encoded again")
        ->type_name("FILE");
    app.add_flag("--append", a.append,
                 "Add to an index that exists, or continue one; pictures that are in it are passed "
                 "over");
    app.footer(R"(Examples:
  retrieve index blip-retrieval photos --recursive --output photos.index
  retrieve index blip-retrieval more-photos --output photos.index --append
  retrieve index blip-retrieval photos --output photos.index --states photos.states

A run that was stopped is continued with --append. Exit status: 0 when every picture is in the
index, 1 when some could not be read, 2 when nothing could be done, 130 after Ctrl-C.)");
}

void add_search_options(CLI::App& app, Arguments& a) {
    add_model_options(app, a);
    app.add_option("index", a.index, "An index that `retrieve index` wrote")->type_name("INDEX");
    app.add_option("--states", a.states, "The file of --states that was written with the index")
        ->type_name("FILE");
    add_picture_options(app, a);
}

void add_query_options(CLI::App& app, Arguments& a) {
    add_search_options(app, a);
    std::string const group = "Queries";
    auto const take_all = [&](CLI::Option* option, char const* type) {
        option->type_name(type)
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->group(group);
    };
    take_all(app.add_option("--text", a.texts, "Find pictures of this; may be given again"),
             "TEXT");
    app.add_option("--texts", a.texts_file, "The same from a file with a text a line")
        ->type_name("FILE")
        ->group(group);
    take_all(app.add_option("--image", a.images, "Find pictures like this one; may be given again"),
             "PATH");
    app.add_option("--top", a.top, "Pictures for each query, best first")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->group(group);
    app.add_option("--rerank", a.rerank,
                   "Judge this many of the closest pictures by the match head, for texts")
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->group(group);
    add_output_options(app, a);
    app.footer(
        R"(Text output is a line for each picture found: query, score, path. The score is the cosine, plus
the match logit where --rerank asks for it.

Examples:
  retrieve query blip-retrieval photos.index --text "a dog on a beach" --top 5
  retrieve query blip-retrieval photos.index --text "two cats" --rerank 16 --html found.html
  retrieve query blip-retrieval photos.index --texts queries.txt --output found.jsonl
  retrieve query blip-retrieval photos.index --image photo.jpg --format csv

Exit status: 0 when every query was answered, 1 when some could not be, 2 when nothing could be
done, 130 after Ctrl-C.)");
}

void add_rerank_options(CLI::App& app, Arguments& a) {
    add_search_options(app, a);
    app.add_option("results", a.results,
                   "What `retrieve query --format jsonl` wrote; - for "
                   "standard input")
        ->type_name("RESULTS");
    app.add_option("--rerank", a.rerank, "Judge this many of each query's pictures (default: all)")
        ->check(silent(CLI::Range(1, 1 << 20)));
    add_output_options(app, a);
    app.footer(R"(Examples:
  retrieve rerank blip-retrieval photos.index found.jsonl --output better.jsonl
  retrieve query small photos.index --text "two cats" --top 50 --format jsonl |
      retrieve rerank small photos.index - --rerank 20 --html found.html

Exit status: 0 when every query was judged, 1 when some could not be, 2 when nothing could be
done, 130 after Ctrl-C.)");
}

int index(Arguments& a) {
    if (a.index.empty())
        throw UsageError("--output is missing: name the index file to write");
    a.check_run(true);
    a.check_paths();
    std::error_code ignored;
    bool const exists = fs::exists(a.index, ignored);
    if (exists && !a.append)
        throw blip::FileError(
            blip::join(a.index, ": exists already. --append adds to it; to make it anew, remove it "
                                "first"));
    auto const model = load_model<RetrieveModel, Models, Types>("retrieve", a);
    auto known = exists ? model->labels_of(a.index) : std::unordered_set<std::string>{};
    auto const items = picture_items(a.paths, a.subfolders());
    model->open_writers(a.index, a.states);
    auto const before = model->written();
    IndexJob job(a, *model, std::move(known));
    int const status = run_job(job, *items, a, {}, {},
                               {.program = "retrieve index",
                                .resumable = true,
                                .resumed_by = "--append",
                                .records = false});
    std::fprintf(stderr, "%s: %llu pictures added, %llu in all\n", a.index.c_str(),
                 static_cast<unsigned long long>(model->written() - before),
                 static_cast<unsigned long long>(model->written()));
    return status;
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("INDEX", a.index);
    all.add("--top", a.top);
    all.add("--rerank", a.rerank);
    return all;
}

std::unique_ptr<RetrieveModel> open(Arguments const& a) {
    if (a.index.empty())
        throw UsageError("INDEX is missing: name what `retrieve index` wrote");
    std::error_code ignored;
    if (!fs::exists(a.index, ignored))
        throw blip::FileError(a.index + ": no such index; make it with `retrieve index`");
    auto model = load_model<RetrieveModel, Models, Types>("retrieve", a);
    model->open(a.index, a.states);
    if (model->size() == 0)
        throw blip::FileError(a.index + ": holds no pictures");
    return model;
}

RunOptions run_options(Arguments const& a, std::string program) {
    return {.program = std::move(program),
            .one = "query",
            .many = "queries",
            .nothing_found = a.results + ": holds no entries",
            .resumable = !a.output.empty()};
}

int query(Arguments& a) {
    a.check_run();
    if (!a.texts_file.empty())
        for (auto& text : read_texts(a.texts_file))
            a.texts.push_back(std::move(text));
    if (a.texts.empty() && a.images.empty())
        throw UsageError("no query: give --text \"...\", --texts FILE or --image PATH");
    if (a.rerank > 0 && !a.images.empty())
        throw UsageError("--rerank judges pictures by a text; it cannot be used with --image");
    auto const model = open(a);
    QueryJob job(a, *model);
    Queries items(a);
    return run_job(job, items, a, schema(std::min(a.top, model->size())), recorded(a),
                   run_options(a, "retrieve query"), PageLayout::sections);
}

int rerank(Arguments& a) {
    a.check_run();
    if (a.results.empty())
        throw UsageError("RESULTS is missing: name what `retrieve query --format jsonl` wrote");
    if (a.resume)
        throw UsageError("--resume is not for rerank; run it again with --force");
    auto const model = open(a);
    if (a.rerank == 0)
        a.rerank = model->size();
    RerankJob job(a, *model);
    auto const from_row = [](ListRow const& row) {
        return Item{.paths = {row.list({"hits"}, {"row", "path", "cosine"})},
                    .texts = {row.text({"query"})}};
    };
    auto const items = list_items(a.results, {}, from_row, Item{.paths = {""}, .texts = {"?"}});
    return run_job(job, *items, a, schema(1), recorded(a), run_options(a, "retrieve rerank"),
                   PageLayout::sections);
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Searches pictures by text or by picture.", "retrieve");
    app.require_subcommand(1);
    auto* const index_app = app.add_subcommand("index", "Encodes pictures into an index file");
    auto* const query_app = app.add_subcommand("query", "Finds pictures in an index");
    auto* const rerank_app =
        app.add_subcommand("rerank", "Judges what a query found again, by the match head");
    add_index_options(*index_app, arguments);
    add_query_options(*query_app, arguments);
    add_rerank_options(*rerank_app, arguments);
    app.footer(
        "`retrieve index --help`, `retrieve query --help` and `retrieve rerank --help` say more.");
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("retrieve", [&] {
        catch_interrupts();
        if (index_app->parsed())
            return index(arguments);
        return query_app->parsed() ? query(arguments) : rerank(arguments);
    });
}
