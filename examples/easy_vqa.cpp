// Turns the easy-VQA data set into lists that finetune_vqa reads: easy_vqa FOLDER OUTPUT

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

/// questions.json is a list of [question, answer, number of the picture].
void convert(fs::path const& part, fs::path const& output) {
    auto const file = part / "questions.json";
    blip::MappedFile const map(file);
    auto const questions = blip::parse_json(
        {reinterpret_cast<char const*>(map.bytes().data()), map.bytes().size()}, file.string());
    auto list = nlohmann::ordered_json::array();
    for (auto const& entry : questions) {
        if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() ||
            !entry[1].is_string() || !entry[2].is_number_integer())
            throw blip::FormatError(
                blip::join(file.string(), ": element ", list.size() + 1,
                           " is no [question, answer, number of the picture]: ", entry.dump()));
        auto const picture =
            fs::absolute(part / "images" / (std::to_string(entry[2].get<int>()) + ".png"));
        list.push_back({{"image", picture.string()}, {"question", entry[0]}, {"answer", entry[1]}});
    }
    blip::write_file(output, list.dump(1) + "\n");
}

} // namespace

int main(int count, char** values) {
    std::string folder, output;
    CLI::App app("Turns the easy-VQA data set into lists that finetune_vqa reads.", "easy_vqa");
    app.add_option("FOLDER", folder, "The data set: a folder with train and test")->required();
    app.add_option("OUTPUT", output, "Where train.json and test.json go")->required();
    if (auto const* status = support::parse_arguments(app, count, values))
        return *status;
    return support::run_program("easy_vqa", [&] {
        fs::create_directories(output);
        for (char const* part : {"train", "test"})
            convert(fs::path(folder) / part, fs::path(output) / (std::string(part) + ".json"));
        return support::success;
    });
}
