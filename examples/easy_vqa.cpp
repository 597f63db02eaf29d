// Turns the easy-VQA data set into lists that finetune_vqa reads: easy_vqa FOLDER OUTPUT

#include <cstddef>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <blip/io/json.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/write_file.hpp>

#include "support/arguments.hpp"

namespace {

namespace fs = std::filesystem;

/// How often a list names the questions of one kind.
struct Repeats {
    int shapes = 1, colors = 1;

    int of(std::string const& answer) const {
        if (answer == "yes" || answer == "no")
            return 1;
        bool const shape = answer == "circle" || answer == "rectangle" || answer == "triangle";
        return shape ? shapes : colors;
    }
};

/// questions.json is a list of [question, answer, number of the picture].
void convert(fs::path const& part, fs::path const& output, Repeats repeats) {
    auto const file = part / "questions.json";
    blip::MappedFile const map(file);
    auto const questions = blip::parse_json(
        {reinterpret_cast<char const*>(map.bytes().data()), map.bytes().size()}, file.string());
    auto list = nlohmann::ordered_json::array();
    std::size_t element = 0;
    for (auto const& entry : questions) {
        ++element;
        if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() ||
            !entry[1].is_string() || !entry[2].is_number_integer())
            throw blip::FormatError(
                blip::join(file.string(), ": element ", element,
                           " is no [question, answer, number of the picture]: ", entry.dump()));
        auto const picture =
            fs::absolute(part / "images" / (std::to_string(entry[2].get<int>()) + ".png"));
        for (int i = 0; i < repeats.of(entry[1]); ++i)
            list.push_back(
                {{"image", picture.string()}, {"question", entry[0]}, {"answer", entry[1]}});
    }
    blip::write_file(output, list.dump(1) + "\n");
}

} // namespace

int main(int count, char** values) {
    std::string folder, output;
    Repeats repeats{.shapes = 15, .colors = 5};
    CLI::App app("Turns the easy-VQA data set into lists that finetune_vqa reads.", "easy_vqa");
    app.add_option("FOLDER", folder, "The data set: a folder with train and test")->required();
    app.add_option("OUTPUT", output, "Where train.json and test.json go")->required();
    app.add_option("--repeat-shapes", repeats.shapes,
                   "How often train.json lists each question that a shape answers")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    app.add_option("--repeat-colors", repeats.colors, "The same of colors")
        ->capture_default_str()
        ->check(CLI::Range(1, 1000));
    app.footer("Three of four questions are answered by yes or no. From these alone a network that "
               "starts from nothing\nhardly learns what shapes look like, so train.json names the "
               "others more often; test.json is as it was.");
    if (auto const* status = support::parse_arguments(app, count, values))
        return *status;
    return support::run_program("easy_vqa", [&] {
        fs::create_directories(output);
        convert(fs::path(folder) / "train", fs::path(output) / "train.json", repeats);
        convert(fs::path(folder) / "test", fs::path(output) / "test.json", {});
        return support::success;
    });
}
