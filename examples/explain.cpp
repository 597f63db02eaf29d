// Shows which parts of a picture each word of a text drew on: explain MODEL PATH... --text "..."

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

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/io/write_file.hpp>
#include <blip/models/heat_map.hpp>
#include <blip/vision/heat_map.hpp>
#include <blip/vision/write_image.hpp>

#include "support/interrupt.hpp"
#include "support/job.hpp"
#include "support/list_items.hpp"
#include "support/model_choice.hpp"

namespace {

using namespace support;
namespace fs = std::filesystem;

/// The sizes that were published for matching, and those of BLIP_MODELS.
using Models = Served<blip::config::ModelList<blip::config::base<384>, blip::config::large<384>>,
                      blip::config::built_in_matchers>;

struct Arguments : CommonArguments {
    std::vector<std::string> texts;
    std::string texts_file;
    std::string folder;
    std::string numbers = "json";
    bool words = false;
    blip::HeatMapOptions options;
};

/// A matcher of any of these sizes.
struct ExplainModel : AnyModel {
    virtual blip::HeatMap explain(blip::Pixels const& pixels, std::string const& text,
                                  blip::HeatMapOptions const& options) const = 0;
};

struct Types {
    static constexpr auto task = blip::Task::matching;
    template <class C>
    using model = blip::Matcher<C, blip::Cpu<float>>;

    template <class C>
    class loaded final : public LoadedAs<ExplainModel, model<C>> {
    public:
        using LoadedAs<ExplainModel, model<C>>::LoadedAs;
        blip::HeatMap explain(blip::Pixels const& pixels, std::string const& text,
                              blip::HeatMapOptions const& options) const override {
            return blip::heat_map(this->model_, pixels, text, options);
        }
    };
};

/// A word of the text and its map, the mean of its pieces'.
struct Word {
    std::string text;
    blip::GridMap map;
};

/// The words of a map: pieces that begin with ## belong to the one before.
std::vector<Word> words_of(blip::HeatMap const& map) {
    std::vector<Word> words;
    float pieces = 0;
    for (std::size_t token = 1; token + 1 < map.pieces.size(); ++token) {
        std::string_view const piece = map.pieces[token];
        auto const values = map.of(token);
        if (piece.starts_with("##") && !words.empty()) {
            auto& word = words.back();
            word.text += piece.substr(2);
            for (std::size_t i = 0; i < values.size(); ++i)
                word.map.data()[i] =
                    (word.map.data()[i] * pieces + values.data()[i]) / (pieces + 1);
            ++pieces;
        } else {
            words.push_back({std::string(piece), values});
            pieces = 1;
        }
    }
    return words;
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

std::string json_of(Record const& record, blip::HeatMap const& map,
                    std::vector<Word> const& words) {
    nlohmann::ordered_json object{{"path", record.key[0]},
                                  {"text", record.key[1]},
                                  {"probability", map.match.probability},
                                  {"all_words", rows_of(map.words)}};
    auto& list = object["words"] = nlohmann::ordered_json::array();
    for (auto const& word : words)
        list.push_back({{"word", word.text}, {"map", rows_of(word.map)}});
    return detail::json_text(object) + "\n";
}

/// A row a cell; word 0 is the mean of all.
std::string csv_of(blip::HeatMap const& map, std::vector<Word> const& words) {
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
    add(0, "(all)", map.words);
    for (std::size_t i = 0; i < words.size(); ++i)
        add(i + 1, words[i].text, words[i].map);
    return text;
}

Schema schema() {
    Schema schema;
    schema.keys = {"path", "text"};
    schema.columns = {"probability", "overlay", "numbers"};
    schema.title = "What the words drew on";
    schema.one = "text";
    schema.many = "texts";
    return schema;
}

/// Writes the maps of every text over every picture.
class ExplainJob final : public Job {
public:
    ExplainJob(Arguments const& arguments, ExplainModel const& model)
        : arguments_(arguments), model_(model) {}

    std::vector<Key> keys(Item const& item) const override {
        std::vector<Key> all;
        for (auto const& text : arguments_.texts)
            all.push_back({item.paths.front(), text});
        return all;
    }

    /// Whether all its files are there and no list of them is wanted.
    bool is_done(Item const& item) const override {
        if (!arguments_.resume || !arguments_.output.empty() || !arguments_.html.empty())
            return false;
        std::error_code ignored;
        for (std::size_t i = 0; i < arguments_.texts.size(); ++i)
            if (!fs::exists(name_of(item, i).replace_extension(last_ending()), ignored))
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
                auto const map = model_.explain(pixels, record.key[1], arguments_.options);
                write(record, name_of(work->item, work->item.done + i), work->images.front(), map);
            }
        }
    }

private:
    std::string last_ending() const {
        return arguments_.numbers == "none" ? ".png" : "." + arguments_.numbers;
    }

    /// Numbered, so that pictures of the same name in two folders keep apart.
    fs::path name_of(Item const& item, std::size_t text) const {
        char number[32];
        std::snprintf(number, sizeof number, "%06llu-",
                      static_cast<unsigned long long>(item.index));
        return fs::path(arguments_.folder) /
               (number + fs::path(item.paths.front()).stem().string() + "-" +
                std::to_string(text + 1) + ".png");
    }

    void write(Record& record, fs::path const& png, blip::Image const& image,
               blip::HeatMap const& map) const {
        auto const words = words_of(map);
        auto const all = blip::overlay(image, map.words);
        blip::write_image(png, all);
        auto const show = [&](std::string const& what, fs::path const& path) {
            if (!arguments_.html.empty())
                record.figures.push_back(
                    {.text = what, .picture = thumbnail_of(path.string(), false)});
        };
        show("all words", png);
        std::vector<std::string> written;
        if (arguments_.words)
            for (std::size_t i = 0; i < words.size(); ++i) {
                auto path = png;
                path.replace_extension(".word" + std::to_string(i + 1) + ".png");
                blip::write_image(path, blip::overlay(image, words[i].map));
                written.push_back(path.string());
                show(words[i].text, path);
            }
        std::string numbers;
        if (arguments_.numbers != "none") {
            auto path = png;
            path.replace_extension(last_ending());
            numbers = path.string();
            blip::write_file(path, arguments_.numbers == "csv" ? csv_of(map, words)
                                                               : json_of(record, map, words));
        }
        record.members["probability"] = map.match.probability;
        record.note = "match probability " + number_text(map.match.probability);
        record.members["overlay"] = png.string();
        if (!numbers.empty())
            record.members["numbers"] = numbers;
        auto& list = record.members["words"] = nlohmann::ordered_json::array();
        for (std::size_t i = 0; i < words.size(); ++i) {
            nlohmann::ordered_json word{{"word", words[i].text}};
            if (i < written.size())
                word["overlay"] = written[i];
            list.push_back(std::move(word));
        }
        auto const probability = number_text(map.match.probability);
        record.entries.push_back({.text = "probability " + probability,
                                  .line = {probability, png.string()},
                                  .cells = {probability, png.string(), numbers},
                                  .share = map.match.probability,
                                  .hint = "probability that the text fits"});
    }

    Arguments const& arguments_;
    ExplainModel const& model_;
};

void add_options(CLI::App& app, Arguments& a) {
    using blip::FirstToken;
    add_model_options(app, a);
    add_path_options(app, a);
    std::string group = "Maps";
    app.add_option("--text", a.texts, "A text to explain for every picture; may be given again")
        ->type_name("TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group(group);
    app.add_option("--texts", a.texts_file, "The same from a file with a text a line")
        ->type_name("FILE")
        ->group(group);
    app.add_option("--folder", a.folder, "Where maps are written to")
        ->type_name("FOLDER")
        ->group(group);
    app.add_flag("--words", a.words, "Write a map for every word too")->group(group);
    app.add_option("--numbers", a.numbers, "How the numbers are written: json, csv or none")
        ->capture_default_str()
        ->check(silent(CLI::IsMember({"json", "csv", "none"})))
        ->group(group);
    app.add_option("--layer", a.options.layer,
                   "Layer of the text network that is looked into, from 0 (default: the middle)")
        ->check(silent(CLI::Range(0, 1 << 10)))
        ->group(group);
    add_output_options(
        app, a,
        {.page = "Write a page with pictures and maps too",
         .resumed = "Continue --folder, --output and --html, with the same options",
         .forced = "Write into a --folder that is not empty; replace existing files"});
    app.footer(
        R"(For each picture and text FOLDER gets NUMBER-NAME-TEXT.png, the picture under colours from
blue (unimportant) to red, and the numbers of the map as .json or .csv. Text output is a line for
each: path, text, match probability, file.

Examples:
  explain blip-itm photo.jpg --text "a dog on a beach" --folder maps --words
  explain blip-itm photos --recursive --texts captions.txt --folder maps --numbers csv
  explain blip-itm photo.jpg --text "two cats" --folder maps --html page.html --output maps.jsonl

Exit status: 0 when every map was made, 1 when some pictures could not be read, 2 when nothing
could be done, 130 after Ctrl-C.)");
}

RecordedOptions recorded(Arguments const& a) {
    auto all = a.recorded();
    all.add("--text", a.texts);
    all.add("--folder", a.folder);
    all.add("--words", a.words);
    all.add("--numbers", a.numbers);
    all.add("--layer", a.options.layer);
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

int explain(Arguments& a) {
    a.check_run(true);
    a.check_paths();
    if (!a.texts_file.empty())
        for (auto& text : read_texts(a.texts_file))
            a.texts.push_back(std::move(text));
    if (a.texts.empty())
        throw UsageError("no text: give --text \"...\" or --texts FILE");
    if (a.folder.empty())
        throw UsageError("no folder: say with --folder where maps go");
    auto const model = load_model<ExplainModel, Models, Types>("explain", a);
    make_folder(a);
    ExplainJob job(a, *model);
    auto const items = picture_items(a.paths, a.subfolders());
    return run_job(job, *items, a, schema(), recorded(a), {.program = "explain", .resumable = true},
                   PageLayout::sections);
}

} // namespace

int main(int count, char** values) {
    Arguments arguments;
    CLI::App app("Shows which parts of a picture each word of a text drew on.", "explain");
    add_options(app, arguments);
    if (auto const* status = parse_arguments(app, count, values))
        return *status;
    return run_program("explain", [&] {
        catch_interrupts();
        return explain(arguments);
    });
}
