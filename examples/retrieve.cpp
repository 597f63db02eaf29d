// Searches pictures or texts by text or picture: retrieve index|query|rerank MODEL ...

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
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "retrieve/model.hpp"
#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/number_text.hpp"

namespace {

using namespace support;
namespace fs = std::filesystem;
using namespace retrieve;

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

/// Encodes pictures or texts into an index file.
class IndexJob final : public Job {
public:
    IndexJob(Arguments const& arguments, Model& model, std::unordered_set<std::string> known)
        : arguments_(arguments), model_(model), known_(std::move(known)) {}

    std::vector<Key> keys(Item const& item) const override { return {{label_of(item)}}; }

    bool is_done(Item const& item) const override { return known_.contains(label_of(item)); }

    void prepare(Work& work) const override {
        if (work.item.texts.empty())
            return read_pictures(work, {.preprocess = model_.preprocessing(),
                                        .upright = arguments_.exif_orientation});
        model_.check(work.item.texts.front());
        work.waits = true;
    }

    void compute(std::span<Work* const> batch) override {
        std::vector<std::string> labels;
        for (auto const* work : batch)
            labels.push_back(label_of(work->item));
        if (!batch.front()->item.texts.empty())
            model_.add(labels);
        else
            model_.add(gather_pixels(batch, model_.preprocessing().size), labels);
    }

private:
    static std::string const& label_of(Item const& item) {
        return item.texts.empty() ? item.paths.front() : item.texts.front();
    }

    Arguments const& arguments_;
    Model& model_;
    std::unordered_set<std::string> known_;
};

/// What a hit is called in outputs.
std::string name_of_hits(Model const& model) {
    return model.holds_texts() ? "text" : "path";
}

Schema schema(Model const& model, std::size_t entries) {
    Schema schema;
    schema.keys = {"query"};
    schema.columns = {"rank", name_of_hits(model), "cosine", "match", "score"};
    schema.entries = entries;
    schema.title = "Search results";
    schema.one = "query";
    schema.many = "queries";
    return schema;
}

/// What queries by text, by picture and ranking again have in common: how hits are shown.
class HitsJob : public Job {
public:
    HitsJob(Arguments const& arguments, Model const& model)
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
                {"row", hit.row}, {name_of_hits(model_), hit.label}, {"cosine", hit.cosine}};
            if (hit.match)
                object["match"] = *hit.match;
            object["score"] = hit.score;
            list.push_back(std::move(object));
            Entry entry{.text = hit.label};
            entry.line = {rounded_text(hit.score, "%.4f"), hit.label};
            entry.cells = {std::to_string(list.size()), hit.label, number_text(hit.cosine),
                           hit.match ? number_text(*hit.match) : "", number_text(hit.score)};
            entry.note = "cosine " + rounded_text(hit.cosine, "%.4f") +
                         (hit.match ? ", match logit " + rounded_text(*hit.match, "%.4f") : "");
            entry.share = std::max(0.0, hit.cosine);
            entry.hint = "cosine of query and what was found";
            if (!arguments_.html.empty() && !model_.holds_texts())
                entry.picture = thumbnail_of(hit.label, arguments_.exif_orientation);
            record.entries.push_back(std::move(entry));
        }
    }

    /// `query`: a text where pictures were found, pixels of a picture where texts were.
    template <class Query>
    Hits rank(Query const& query, Hits hits) const {
        // What is not judged again stays behind what is.
        auto const judged = std::min(arguments_.rerank, hits.size());
        Hits rest(hits.begin() + static_cast<std::ptrdiff_t>(judged), hits.end());
        hits.resize(judged);
        if constexpr (std::is_same_v<Query, blip::Pixels>)
            hits = model_.rank(query, std::move(hits));
        else
            hits = model_.rank(query, std::move(hits), arguments_.exif_orientation);
        hits.insert(hits.end(), rest.begin(), rest.end());
        return hits;
    }

    Arguments const& arguments_;
    Model const& model_;
};

/// Finds what is closest to texts and to pictures.
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
            auto const side = model_.preprocessing().size;
            auto found =
                model_.query(gather_pixels(of_pictures, side), std::max(wanted, arguments_.rerank));
            for (std::size_t i = 0; i < found.size(); ++i) {
                if (arguments_.rerank > 0)
                    found[i] = rank(gather_pixels(std::span(&of_pictures[i], 1), side),
                                    std::move(found[i]));
                found[i].resize(wanted);
                fill(of_pictures[i]->records.front(), found[i]);
            }
        }
    }
};

/// Orders the hits of an earlier query again.
class RerankJob final : public HitsJob {
public:
    using HitsJob::HitsJob;

    /// An item is a query and its hits; a query for texts is the path of a picture.
    std::vector<Key> keys(Item const& item) const override {
        return {{model_.holds_texts() ? item.paths.front() : item.texts.front()}};
    }

    void prepare(Work& work) const override {
        work.waits = true;
        if (model_.holds_texts())
            read_pictures(work, {.preprocess = model_.preprocessing(),
                                 .upright = arguments_.exif_orientation,
                                 .thumbnails = !arguments_.html.empty()});
    }

    void compute(std::span<Work* const> batch) override {
        for (auto* work : batch) {
            auto& record = work->records.front();
            bool const texts = model_.holds_texts();
            Hits hits;
            for (auto const& hit :
                 nlohmann::json::parse(texts ? work->item.texts.front() : work->item.paths.front()))
                hits.push_back({.row = hit.at("row").get<std::int64_t>(),
                                .label = hit.at(name_of_hits(model_)).get<std::string>(),
                                .cosine = hit.at("cosine").get<double>(),
                                .match = {},
                                .score = hit.at("cosine").get<double>()});
            if (texts)
                fill(record, rank(gather_pixels(std::span<Work* const>(&work, 1),
                                                model_.preprocessing().size),
                                  std::move(hits)));
            else
                fill(record, rank(work->item.texts.front(), std::move(hits)));
        }
    }
};

/// The queries of a command line, or the texts that an index is made of.
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
    app.add_option("--texts", a.texts_file,
                   "Index the texts of FILE, one a line, in place of pictures: captions that "
                   "pictures are to find")
        ->type_name("FILE");
    app.add_option("--output", a.index, "The index file to write")->type_name("INDEX");
    app.add_option(
           "--states", a.states,
           "Also store what ranking again needs (some 0.9 MB a picture), so that no picture "
           "is ever encoded again")
        ->type_name("FILE");
    app.add_flag("--append", a.append,
                 "Add to an index that exists, or continue one; what is in it is passed over");
    add_random_model_options(app, a);
    app.footer(R"(Examples:
  retrieve index blip-retrieval photos --recursive --output photos.index
  retrieve index blip-retrieval more-photos --output photos.index --append
  retrieve index blip-retrieval photos --output photos.index --states photos.states
  retrieve index blip-retrieval --texts captions.txt --output captions.index
  retrieve index --random-model untrained --size base

A run that was stopped is continued with --append. Exit status: 0 when everything is in the
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
    take_all(app.add_option("--text", a.texts, "Find what fits this; may be given again"), "TEXT");
    app.add_option("--texts", a.texts_file, "The same from a file with a text a line")
        ->type_name("FILE")
        ->group(group);
    take_all(app.add_option("--image", a.images,
                            "Find what fits this picture, or is like it; may be given again"),
             "PATH");
    app.add_option("--top", a.top, "Results for each query, best first")
        ->capture_default_str()
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->group(group);
    app.add_option("--rerank", a.rerank,
                   "Judge this many of the closest by the match head: pictures by a text, or texts "
                   "by a picture")
        ->check(silent(CLI::Range(1, 1 << 20)))
        ->group(group);
    add_output_options(app, a);
    app.footer(
        R"(Text output is a line for each picture or text found: query, score, what was found. The score is
the cosine, plus the match logit where --rerank asks for it.

Examples:
  retrieve query blip-retrieval photos.index --text "a dog on a beach" --top 5
  retrieve query blip-retrieval photos.index --text "two cats" --rerank 16 --html found.html
  retrieve query blip-retrieval photos.index --texts queries.txt --output found.jsonl
  retrieve query blip-retrieval photos.index --image photo.jpg --format csv
  retrieve query blip-retrieval captions.index --image photo.jpg --rerank 16

Exit status: 0 when every query was answered, 1 when some could not be, 2 when nothing could be
done, 130 after Ctrl-C.)");
}

void add_rerank_options(CLI::App& app, Arguments& a) {
    add_search_options(app, a);
    app.add_option("results", a.results,
                   "What `retrieve query --format jsonl` wrote; - for "
                   "standard input")
        ->type_name("RESULTS");
    app.add_option("--rerank", a.rerank, "Judge this many of each query's results (default: all)")
        ->check(silent(CLI::Range(1, 1 << 20)));
    add_output_options(app, a);
    app.footer(R"(Examples:
  retrieve rerank blip-retrieval photos.index found.jsonl --output better.jsonl
  retrieve rerank blip-retrieval photos.index found.jsonl --output better.jsonl --resume
  retrieve query small photos.index --text "two cats" --top 50 --format jsonl |
      retrieve rerank small photos.index - --rerank 20 --html found.html

Exit status: 0 when every query was judged, 1 when some could not be, 2 when nothing could be
done, 130 after Ctrl-C.)");
}

int index(Arguments& a) {
    if (a.index.empty())
        throw UsageError("--output is missing: name the index file to write");
    a.check_run(true);
    if (a.texts_file.empty())
        a.check_paths();
    else if (!a.paths.empty() || !a.states.empty())
        throw UsageError("--texts makes an index of texts; it takes no PATH and no --states");
    else
        a.texts = read_texts(a.texts_file);
    std::error_code ignored;
    bool const exists = fs::exists(a.index, ignored);
    if (exists && !a.append)
        throw blip::FileError(
            blip::join(a.index, ": exists already. --append adds to it; to make it anew, remove it "
                                "first"));
    auto const model = load(a);
    auto known = exists ? model->labels_of(a.index) : std::unordered_set<std::string>{};
    std::unique_ptr<ItemSource> const items =
        a.texts.empty() ? picture_items(a.paths, a.subfolders()) : std::make_unique<Queries>(a);
    model->open_writers(a.index, a.states,
                        a.texts.empty() ? blip::RowKind::image_vectors
                                        : blip::RowKind::text_vectors);
    auto const before = model->written();
    RunOptions options{
        .program = "retrieve index", .resumable = true, .resumed_by = "--append", .records = false};
    if (!a.texts.empty()) {
        options.one = "text";
        options.many = "texts";
        // A text is short beside a picture.
        a.batch = std::max<std::size_t>(a.batch, 64);
    }
    auto const many = options.many;
    IndexJob job(a, *model, std::move(known));
    int const status = run_job(job, *items, a, {}, {}, std::move(options));
    std::fprintf(stderr, "%s: %llu %s added, %llu in all\n", a.index.c_str(),
                 static_cast<unsigned long long>(model->written() - before), many.c_str(),
                 static_cast<unsigned long long>(model->written()));
    return status;
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("INDEX", a.index);
    all.add("RESULTS", a.results);
    all.add("--top", a.top);
    all.add("--rerank", a.rerank);
    return all;
}

std::unique_ptr<Model> open(Arguments const& a) {
    if (a.index.empty())
        throw UsageError("INDEX is missing: name what `retrieve index` wrote");
    std::error_code ignored;
    if (!fs::exists(a.index, ignored))
        throw blip::FileError(a.index + ": no such index; make it with `retrieve index`");
    auto model = load(a);
    model->open(a.index, a.states);
    if (model->size() == 0)
        throw blip::FileError(a.index + ": holds nothing");
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
    auto const model = open(a);
    if (a.rerank > 0 && model->holds_texts() && !a.texts.empty())
        throw UsageError("this index holds texts, which --rerank judges by a picture; it cannot be "
                         "used with --text");
    if (a.rerank > 0 && !model->holds_texts() && !a.images.empty())
        throw UsageError("this index holds pictures, which --rerank judges by a text; it cannot be "
                         "used with --image");
    QueryJob job(a, *model);
    Queries items(a);
    return run_job(job, items, a, schema(*model, std::min(a.top, model->size())), recorded(a),
                   run_options(a, "retrieve query"), PageLayout::sections);
}

int rerank(Arguments& a) {
    a.check_run();
    if (a.results.empty())
        throw UsageError("RESULTS is missing: name what `retrieve query --format jsonl` wrote");
    // Queries may have found different numbers of pictures: only a record a line can be counted.
    if (a.resume && !a.output.empty() && a.format_name() != "jsonl")
        throw UsageError("--resume of rerank continues --format jsonl; with another, run it again "
                         "with --force");
    auto const model = open(a);
    if (a.rerank == 0)
        a.rerank = model->size();
    RerankJob job(a, *model);
    bool const texts = model->holds_texts();
    auto const from_row = [texts](ListRow const& row) {
        auto hits = row.list({"hits"}, {"row", texts ? "text" : "path", "cosine"});
        auto query = row.text({"query"});
        if (texts)
            std::swap(hits, query);
        return Item{.paths = {std::move(hits)}, .texts = {std::move(query)}};
    };
    auto const items = list_items(a.results, {}, from_row, Item{.paths = {""}, .texts = {"?"}});
    return run_job(job, *items, a, schema(*model, 1), recorded(a),
                   run_options(a, "retrieve rerank"), PageLayout::sections);
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Searches pictures or texts by text or by picture.", "retrieve");
    app.require_subcommand(1);
    auto* const index_app =
        app.add_subcommand("index", "Encodes pictures or texts into an index file");
    auto* const query_app = app.add_subcommand("query", "Finds pictures or texts in an index");
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
        if (!arguments.random_model.empty()) {
            arguments.check_random_model();
            return write_random(arguments);
        }
        catch_interrupts();
        if (index_app->parsed())
            return index(arguments);
        return query_app->parsed() ? query(arguments) : rerank(arguments);
    });
}
