// Turns the easy-VQA data set into lists that finetune_vqa reads: easy_vqa FOLDER OUTPUT

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <blip/io/json.hpp>
#include <blip/io/mapped_file.hpp>
#include <blip/io/write_file.hpp>

#include "support/arguments.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int most_pictures = 1000000;

struct Question {
    std::string question, answer;
    int picture = 0;
};

/// questions.json is a list of [question, answer, number of the picture].
std::vector<Question> read_questions(fs::path const& part) {
    auto const file = part / "questions.json";
    blip::MappedFile const map(file);
    auto const entries = blip::parse_json(
        {reinterpret_cast<char const*>(map.bytes().data()), map.bytes().size()}, file.string());
    std::vector<Question> questions;
    for (auto const& entry : entries) {
        if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() ||
            !entry[1].is_string() || !entry[2].is_number_unsigned() || entry[2] > most_pictures)
            throw blip::FormatError(
                blip::join(file.string(), ": element ", questions.size() + 1,
                           " is no [question, answer, number of the picture, at most ",
                           most_pictures, "]: ", entry.dump()));
        questions.push_back({entry[0], entry[1], entry[2].get<int>()});
    }
    return questions;
}

/// How often the training list names each question.
class Repeats {
public:
    int shapes = 10, colors = 4, plain = 4;

    /// Counts how often each wording is answered by what.
    void count(std::vector<Question> const& questions) {
        for (auto const& entry : questions)
            ++answers_[entry.question][entry.answer];
    }

    int of(Question const& entry) const {
        if (entry.answer == "yes" || entry.answer == "no") {
            auto const& answers = answers_.at(entry.question);
            double most = 0;
            for (auto const& [answer, times] : answers)
                most = std::max(most, double(times));
            auto const balance = int(std::lround(most / answers.at(entry.answer)));
            return is_negated(entry.question) ? balance : balance * plain;
        }
        bool const shape =
            entry.answer == "circle" || entry.answer == "rectangle" || entry.answer == "triangle";
        return shape ? shapes : colors;
    }

private:
    /// As in "is no red shape present?"
    static bool is_negated(std::string const& question) {
        return question.find(" no ") != question.npos || question.find(" not ") != question.npos;
    }

    std::map<std::string, std::map<std::string, int>> answers_;
};

/// Writes what `repeats(question)` names at least once, that many times.
template <class F>
void write_list(fs::path const& part, fs::path const& output,
                std::vector<Question> const& questions, F repeats) {
    auto list = nlohmann::ordered_json::array();
    for (auto const& entry : questions) {
        auto const picture =
            fs::absolute(part / "images" / (std::to_string(entry.picture) + ".png")).string();
        for (int i = repeats(entry); i > 0; --i)
            list.push_back(
                {{"image", picture}, {"question", entry.question}, {"answer", entry.answer}});
    }
    blip::write_file(output, list.dump(1) + "\n");
}

} // namespace

int main(int count, char** values) {
    std::string folder, output;
    Repeats repeats;
    int held_back = 0;
    CLI::App app("Turns the easy-VQA data set into lists that finetune_vqa reads.", "easy_vqa");
    app.add_option("FOLDER", folder, "The data set: a folder with train and test")->required();
    app.add_option("OUTPUT", output, "Where train.json and test.json go")->required();
    auto const repeat = [&](char const* name, int& times, char const* what) {
        app.add_option(name, times, what)->capture_default_str()->check(CLI::Range(1, 1000));
    };
    repeat("--repeat-shapes", repeats.shapes,
           "How often train.json lists each question that a shape answers");
    repeat("--repeat-colors", repeats.colors, "The same of colors");
    repeat("--repeat-plain", repeats.plain,
           "The same of questions for yes or no that hold neither \"no\" nor \"not\"");
    app.add_option("--validation", held_back,
                   "Keep this many of the training pictures, the last ones, out of train.json: "
                   "their questions are written to validation.json")
        ->check(CLI::NonNegativeNumber);
    app.footer("Of eight questions for yes or no about one color seven have the same answer, and "
               "half of all\nask for what is not there. A network that starts from nothing learns "
               "the wording first and\nthen sees no reason to look. So train.json names the rarer "
               "of yes and no until both are about\nas frequent with every wording, questions "
               "without a negation more often than those with one,\nand shapes and colors more "
               "often than they are asked for. test.json and validation.json are\nas they were.");
    if (auto const* status = support::parse_arguments(app, count, values))
        return *status;
    return support::run_program("easy_vqa", [&] {
        auto const train = fs::path(folder) / "train", test = fs::path(folder) / "test";
        auto const questions = read_questions(train);
        repeats.count(questions);
        int pictures = 0;
        for (auto const& entry : questions)
            pictures = std::max(pictures, entry.picture + 1);
        if (held_back >= pictures)
            throw support::UsageError(blip::join("--validation ", held_back, " leaves none of the ",
                                                 pictures, " training pictures to learn from"));
        auto const first_held_back = pictures - held_back;
        fs::create_directories(output);
        write_list(train, fs::path(output) / "train.json", questions, [&](Question const& entry) {
            return entry.picture < first_held_back ? repeats.of(entry) : 0;
        });
        // One of an earlier call would hold pictures that are now learnt from.
        fs::remove(fs::path(output) / "validation.json");
        if (held_back > 0)
            write_list(
                train, fs::path(output) / "validation.json", questions,
                [&](Question const& entry) { return entry.picture < first_held_back ? 0 : 1; });
        write_list(test, fs::path(output) / "test.json", read_questions(test),
                   [](Question const&) { return 1; });
        return support::success;
    });
}
