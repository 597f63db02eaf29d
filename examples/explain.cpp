// Shows which parts of a picture each word of a text, caption or answer drew on:
// explain MODEL PATH... --text "..." | --question "..." | --caption

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <blip/io/write_file.hpp>
#include <blip/vision/heat_map.hpp>
#include <blip/vision/write_image.hpp>

#include "explain/model.hpp"
#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"

namespace {

using namespace support;
namespace fs = std::filesystem;

using namespace explain;

struct Arguments : CommonArguments {
    std::vector<std::string> texts, questions;
    std::string texts_file, questions_file;
    bool captions = false;
    std::string folder;
    std::string numbers = "json";
    bool words = false;
    std::optional<int> layer;

    Kind kind() const {
        return captions ? Kind::caption : !questions.empty() ? Kind::answer : Kind::match;
    }
    /// What is asked of every picture; a caption is one empty text.
    std::vector<std::string> asked() const {
        return kind() == Kind::caption  ? std::vector<std::string>{""}
               : kind() == Kind::answer ? questions
                                        : texts;
    }
    /// Words that were written have pictures of their own in any case.
    bool shows_words() const { return words || kind() != Kind::match; }
};

/// What a text is called in outputs.
std::string name_of(Kind kind) {
    return kind == Kind::caption ? "caption" : kind == Kind::answer ? "answer" : "text";
}

nlohmann::ordered_json rows_of(blip::GridMap const& map) {
    auto rows = nlohmann::ordered_json::array();
    for (std::size_t y = 0; y < map.shape()[0]; ++y) {
        auto& row = rows.emplace_back(nlohmann::ordered_json::array());
        for (std::size_t x = 0; x < map.shape()[1]; ++x)
            row.push_back(map(y, x));
    }
    return rows;
}

std::string json_of(Record const& record, Explained const& found, Kind kind) {
    nlohmann::ordered_json object{{"path", record.key[0]}};
    if (kind == Kind::answer)
        object["question"] = record.key[1];
    object[name_of(kind)] = found.text;
    object["probability"] = found.probability;
    object["all_words"] = rows_of(found.all);
    auto& list = object["words"] = nlohmann::ordered_json::array();
    for (auto const& word : found.words) {
        nlohmann::ordered_json entry{{"word", word.text}, {"map", rows_of(word.map)}};
        if (kind != Kind::match)
            entry["log_probability"] = word.log_probability;
        list.push_back(std::move(entry));
    }
    return detail::json_text(object) + "\n";
}

/// A row a cell; word 0 is the mean of all.
std::string csv_of(Explained const& found) {
    std::string text = "number,word,row,column,value\r\n";
    auto const add = [&text](std::size_t number, std::string const& word, blip::GridMap const& m) {
        bool const plain = word.find_first_of(",\"\r\n") == std::string::npos;
        for (std::size_t y = 0; y < m.shape()[0]; ++y)
            for (std::size_t x = 0; x < m.shape()[1]; ++x)
                text += blip::join(number, ",",
                                   plain          ? word
                                   : word == "\"" ? "\"\"\"\""
                                                  : "\"" + word + "\"",
                                   ",", y, ",", x, ",", number_text(m(y, x)), "\r\n");
    };
    add(0, "(all)", found.all);
    for (std::size_t i = 0; i < found.words.size(); ++i)
        add(i + 1, found.words[i].text, found.words[i].map);
    return text;
}

Schema schema(Kind kind) {
    Schema schema;
    schema.columns = {"probability", "overlay", "numbers"};
    schema.title = "What the words drew on";
    schema.one = name_of(kind);
    schema.many = schema.one + "s";
    if (kind != Kind::caption)
        schema.keys = {"path", kind == Kind::answer ? "question" : "text"};
    if (kind != Kind::match)
        schema.columns.insert(schema.columns.begin(), schema.one);
    return schema;
}

/// Writes the maps of every text over every picture.
class ExplainJob final : public Job {
public:
    ExplainJob(Arguments const& arguments, Model const& model)
        : arguments_(arguments), model_(model), kind_(arguments.kind()), asked_(arguments.asked()) {
    }

    std::vector<Key> keys(Item const& item) const override {
        if (kind_ == Kind::caption)
            return {item.paths};
        std::vector<Key> all;
        for (auto const& text : asked_)
            all.push_back({item.paths.front(), text});
        return all;
    }

    /// Whether all its files are there and no list of them is wanted.
    bool is_done(Item const& item) const override {
        if (!arguments_.resume || !arguments_.output.empty() || !arguments_.html.empty())
            return false;
        std::error_code ignored;
        for (std::size_t i = 0; i < asked_.size(); ++i)
            if (!fs::exists(path_of(item, i).replace_extension(last_ending()), ignored))
                return false;
        return true;
    }

    void prepare(Work& work) const override {
        read_pictures(work, {.preprocess = model_.preprocessing(),
                             .upright = arguments_.exif_orientation,
                             .thumbnails = !arguments_.html.empty(),
                             .keep_images = true});
    }

    /// A text may be too long.
    bool fails_by_item() const override { return true; }

    void compute(std::span<Work* const> batch) override {
        for (auto* work : batch) {
            auto const pixels =
                gather_pixels(std::span<Work* const>(&work, 1), model_.preprocessing().size);
            for (std::size_t i = 0; i < work->records.size(); ++i) {
                auto& record = work->records[i];
                auto const text = kind_ == Kind::caption ? std::string() : record.key[1];
                write(record, path_of(work->item, work->item.done + i), work->images.front(),
                      model_.explain(pixels, text, arguments_.layer));
            }
        }
    }

private:
    std::string last_ending() const {
        return arguments_.numbers == "none" ? ".png" : "." + arguments_.numbers;
    }

    /// Numbered, so that pictures of the same name in two folders keep apart.
    fs::path path_of(Item const& item, std::size_t text) const {
        char number[32];
        std::snprintf(number, sizeof number, "%06llu-",
                      static_cast<unsigned long long>(item.index));
        return fs::path(arguments_.folder) /
               (number + fs::path(item.paths.front()).stem().string() + "-" +
                std::to_string(text + 1) + ".png");
    }

    void write(Record& record, fs::path const& png, blip::Image const& image,
               Explained const& found) const {
        auto const probability = number_text(found.probability);
        auto const show = [&](std::string const& what, std::string const& note,
                              fs::path const& path) {
            if (!arguments_.html.empty())
                record.figures.push_back(
                    {.text = what, .picture = thumbnail_of(path.string(), false), .note = note});
        };
        // The picture of all words and the numbers come last: where they are, all is.
        std::vector<std::string> written;
        if (arguments_.shows_words())
            for (std::size_t i = 0; i < found.words.size(); ++i) {
                auto const& word = found.words[i];
                auto path = png;
                path.replace_extension(".word" + std::to_string(i + 1) + ".png");
                blip::write_image(path, blip::overlay(image, word.map));
                written.push_back(path.string());
                show(word.text,
                     kind_ == Kind::match ? "" : "log p " + number_text(word.log_probability),
                     path);
            }
        blip::write_image(png, blip::overlay(image, found.all));
        show("all words", "", png);
        if (!record.figures.empty())
            std::rotate(record.figures.begin(), record.figures.end() - 1, record.figures.end());
        std::string numbers;
        if (arguments_.numbers != "none") {
            auto path = png;
            path.replace_extension(last_ending());
            numbers = path.string();
            blip::write_file(path, arguments_.numbers == "csv" ? csv_of(found)
                                                               : json_of(record, found, kind_));
        }
        if (kind_ == Kind::match) {
            record.note = "match probability " + probability;
        } else {
            record.note = found.text + " (mean probability of a token " + probability + ")";
            record.members[name_of(kind_)] = found.text;
        }
        record.members["probability"] = found.probability;
        record.members["overlay"] = png.string();
        if (!numbers.empty())
            record.members["numbers"] = numbers;
        auto& list = record.members["words"] = nlohmann::ordered_json::array();
        for (std::size_t i = 0; i < found.words.size(); ++i) {
            nlohmann::ordered_json word{{"word", found.words[i].text}};
            if (i < written.size())
                word["overlay"] = written[i];
            list.push_back(std::move(word));
        }
        Entry entry{.text = "probability " + probability,
                    .line = {probability, png.string()},
                    .cells = {probability, png.string(), numbers},
                    .share = found.probability,
                    .hint = "probability that the text fits"};
        if (kind_ != Kind::match) {
            entry.text = found.text;
            entry.line.insert(entry.line.begin(), found.text);
            entry.cells.insert(entry.cells.begin(), found.text);
            entry.hint = "mean probability of a token";
        }
        record.entries.push_back(std::move(entry));
    }

    Arguments const& arguments_;
    Model const& model_;
    Kind kind_;
    std::vector<std::string> asked_;
};

void add_options(CLI::App& app, Arguments& a) {
    add_model_options(app, a);
    add_path_options(app, a);
    std::string group = "Maps";
    auto const texts = [&](char const* name, std::vector<std::string>& into, char const* what) {
        return app.add_option(name, into, what)
            ->type_name("TEXT")
            ->expected(1)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
            ->group(group);
    };
    auto const file = [&](char const* name, std::string& into, char const* what) {
        return app.add_option(name, into, what)->type_name("FILE")->group(group);
    };
    auto* text = texts("--text", a.texts,
                       "A text to explain for every picture, with a model of matching; may be "
                       "given again");
    auto* text_file = file("--texts", a.texts_file, "The same from a file with a text a line");
    auto* question = texts("--question", a.questions,
                           "Answer this about every picture, with a model of question answering, "
                           "and explain the answer; may be given again");
    auto* question_file =
        file("--questions", a.questions_file, "The same from a file with a question a line");
    auto* caption = app.add_flag("--caption", a.captions,
                                 "Write a caption of every picture, with a model of captioning, "
                                 "and explain it")
                        ->group(group);
    for (auto* one : {question, question_file})
        one->excludes(text)->excludes(text_file);
    for (auto* one : {text, text_file, question, question_file})
        caption->excludes(one);
    app.add_option("--folder", a.folder, "Where maps are written to")
        ->type_name("FOLDER")
        ->group(group);
    app.add_flag("--words", a.words,
                 "Write a map for every word too; of captions and answers it always is")
        ->group(group);
    app.add_option("--numbers", a.numbers, "How the numbers are written: json, csv or none")
        ->capture_default_str()
        ->check(silent(CLI::IsMember({"json", "csv", "none"})))
        ->group(group);
    app.add_option("--layer", a.layer,
                   "Layer of the text network that is looked into, from 0 (default: the middle)")
        ->check(silent(CLI::Range(0, 1 << 10)))
        ->group(group);
    add_output_options(
        app, a,
        {.page = "Write a page with pictures and maps too",
         .resumed = "Continue --folder, --output and --html, with the same options",
         .forced = "Write into a --folder that is not empty; replace existing files"});
    add_random_model_options(app, a);
    app.footer(
        R"(For each picture and text FOLDER gets NUMBER-NAME-TEXT.png, the picture under colours from
blue (unimportant) to red, and the numbers of the map as .json or .csv. Text output is a line for
each: path, text, match probability, file; or path, question, answer, mean probability of a token,
file; or path, caption, probability, file. Every word of a caption or an answer has a picture of its
own: NUMBER-NAME-TEXT.word1.png and so on.

Examples:
  explain blip-itm photo.jpg --text "a dog on a beach" --folder maps --words
  explain blip-itm photos --recursive --texts captions.txt --folder maps --numbers csv
  explain blip-itm photo.jpg --text "two cats" --folder maps --html page.html --output maps.jsonl
  explain blip-caption photo.jpg --caption --folder maps --html page.html
  explain blip-vqa photo.jpg --question "what color is the car?" --folder maps
  explain --random-model untrained --size base --caption

Exit status: 0 when every map was made, 1 when some pictures could not be read, 2 when nothing
could be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--text", a.texts);
    all.add("--question", a.questions);
    all.add("--caption", a.captions);
    all.add("--folder", a.folder);
    all.add("--words", a.words);
    all.add("--numbers", a.numbers);
    all.add("--layer", a.layer);
    return all;
}

void make_folder(Arguments const& a) {
    std::error_code problem;
    fs::create_directories(a.folder, problem);
    if (problem || !fs::is_directory(a.folder, problem))
        throw blip::FileError(blip::join(
            a.folder, ": cannot be made a folder: ", problem ? problem.message() : "it is a file"));
    if (!a.force && !a.resume && !fs::is_empty(a.folder, problem))
        throw blip::FileError(blip::join(a.folder, ": is not empty. --resume continues it, --force "
                                                   "writes into it all the same"));
}

std::unique_ptr<Model> load(Arguments const& a) {
    switch (a.kind()) {
    case Kind::caption:
        return load_captioner(a);
    case Kind::answer:
        return load_answerer(a);
    default:
        return load_matcher(a);
    }
}

int write_random(Arguments const& a) {
    a.check_random_model();
    switch (a.kind()) {
    case Kind::caption:
        return write_random_captioner(a);
    case Kind::answer:
        return write_random_answerer(a);
    default:
        return write_random_matcher(a);
    }
}

int run(Arguments& a) {
    a.check_run(true);
    a.check_paths();
    if (!a.texts_file.empty())
        for (auto& text : read_texts(a.texts_file))
            a.texts.push_back(std::move(text));
    if (!a.questions_file.empty())
        for (auto& question : read_texts(a.questions_file))
            a.questions.push_back(std::move(question));
    if (a.asked().empty())
        throw UsageError("no text: give --text \"...\" or --texts FILE, --question \"...\", or "
                         "--caption");
    if (a.folder.empty())
        throw UsageError("no folder: say with --folder where maps go");
    auto const model = load(a);
    make_folder(a);
    ExplainJob job(a, *model);
    auto const items = picture_items(a.paths, a.subfolders());
    return run_job(job, *items, a, schema(a.kind()), recorded(a),
                   {.program = "explain", .resumable = true}, PageLayout::sections);
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app(
        "Shows which parts of a picture each word of a text, a caption or an answer drew on.",
        "explain");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("explain", [&] {
        if (!arguments.random_model.empty())
            return write_random(arguments);
        catch_interrupts();
        return run(arguments);
    });
}
