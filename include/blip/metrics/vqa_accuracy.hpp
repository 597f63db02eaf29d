#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/text/unicode.hpp>

namespace blip {

namespace detail {

/// Words whose spelling without one of their apostrophes the official script puts right.
inline constexpr std::array contracted_words{
    "ain't",       "aren't",      "can't",          "could've",     "couldn't",
    "couldn't've", "didn't",      "doesn't",        "don't",        "hadn't",
    "hadn't've",   "hasn't",      "haven't",        "he'd",         "he'd've",
    "he's",        "how'd",       "how'll",         "how's",        "isn't",
    "it'd",        "it'd've",     "it'll",          "ma'am",        "mightn't",
    "mightn't've", "might've",    "mustn't",        "must've",      "needn't",
    "not've",      "o'clock",     "oughtn't",       "'ow's'at",     "shan't",
    "she'd've",    "should've",   "shouldn't",      "shouldn't've", "somebody'd've",
    "somebody'll", "somebody's",  "someone'd",      "someone'd've", "someone'll",
    "someone's",   "something'd", "something'd've", "something'll", "that's",
    "there'd",     "there'd've",  "there're",       "there's",      "they'd",
    "they'd've",   "they'll",     "they're",        "they've",      "'twas",
    "wasn't",      "we'd've",     "we've",          "weren't",      "what'll",
    "what're",     "what's",      "what've",        "when's",       "where'd",
    "where's",     "where've",    "who'd",          "who'd've",     "who'll",
    "who's",       "who've",      "why'll",         "why're",       "why's",
    "won't",       "would've",    "wouldn't",       "wouldn't've",  "y'all",
    "y'all'll",    "y'all'd've",  "you'd",          "you'd've",     "you'll",
    "you're",      "you've"};

inline std::map<std::string, std::string, std::less<>> make_contractions() {
    std::map<std::string, std::string, std::less<>> table;
    for (std::string const right : contracted_words)
        for (auto at = right.find('\''); at != right.npos; at = right.find('\'', at + 1))
            table[right.substr(0, at) + right.substr(at + 1)] = right;
    table["somebody'd"] = "somebodyd"; // the wrong way round in the script too
    return table;
}

inline std::string_view number_word(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 12> numbers{
        {{"none", "0"},
         {"zero", "0"},
         {"one", "1"},
         {"two", "2"},
         {"three", "3"},
         {"four", "4"},
         {"five", "5"},
         {"six", "6"},
         {"seven", "7"},
         {"eight", "8"},
         {"nine", "9"},
         {"ten", "10"}}};
    auto const* const found =
        std::ranges::find(numbers, word, &std::pair<std::string_view, std::string_view>::first);
    return found == numbers.end() ? word : found->second;
}

inline bool is_ascii_digit(char c) {
    return c >= '0' && c <= '9';
}

} // namespace detail

/// The punctuation step of the official VQA evaluation: each of ; / [ ] " { } ( ) = + \ _ - > < @ `
/// , ? ! is deleted where it stands beside a space anywhere in the answer or where the answer has a
/// comma between digits, and becomes a space otherwise; then up to 32 full stops that no digit
/// follows are deleted.
inline std::string strip_vqa_punctuation(std::string_view answer) {
    bool comma_between_digits = false;
    for (std::size_t i = 1; i + 1 < answer.size(); ++i)
        comma_between_digits =
            comma_between_digits || (answer[i] == ',' && detail::is_ascii_digit(answer[i - 1]) &&
                                     detail::is_ascii_digit(answer[i + 1]));
    std::string text(answer);
    for (char const mark : std::string_view(";/[]\"{}()=+\\_-><@`,?!")) {
        auto const beside_space = [&](std::size_t i) {
            return answer[i] == mark && ((i > 0 && answer[i - 1] == ' ') ||
                                         (i + 1 < answer.size() && answer[i + 1] == ' '));
        };
        bool deleted = comma_between_digits;
        for (std::size_t i = 0; i < answer.size(); ++i)
            deleted = deleted || beside_space(i);
        if (deleted)
            std::erase(text, mark);
        else
            std::replace(text.begin(), text.end(), mark, ' ');
    }
    std::string result;
    int deleted = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        bool const digit_follows = i + 1 < text.size() && detail::is_ascii_digit(text[i + 1]);
        if (text[i] == '.' && !digit_follows && deleted < 32)
            ++deleted;
        else
            result += text[i];
    }
    return result;
}

/// A predicted answer as the official VQA evaluation compares it: punctuation step, lower case,
/// number words as digits, no articles, contractions with their apostrophes, single spaces. Throws
/// TextError for invalid UTF-8.
inline std::string normalize_vqa_answer(std::string_view answer) {
    static auto const contractions = detail::make_contractions();
    std::string text(answer);
    for (char& c : text)
        if (c == '\n' || c == '\t')
            c = ' ';
    auto points = to_code_points(text);
    while (!points.empty() && is_space(points.back()))
        points.pop_back();
    points.erase(points.begin(), std::ranges::find_if_not(points, is_space));
    points = to_code_points(lower(strip_vqa_punctuation(to_utf8(points))));

    std::string result;
    for (auto at = points.begin(); at != points.end();) {
        at = std::find_if_not(at, points.end(), is_space);
        auto const end = std::find_if(at, points.end(), is_space);
        std::string word = to_utf8(std::u32string(at, end));
        at = end;
        word = detail::number_word(word);
        if (word.empty() || word == "a" || word == "an" || word == "the")
            continue;
        auto const contraction = contractions.find(word);
        result += result.empty() ? "" : " ";
        result += contraction == contractions.end() ? word : contraction->second;
    }
    return result;
}

/// Official VQA accuracy of one question, 0 to 1: the mean over the human answers of
/// min(1, how many of the *others* agree with the prediction / 3). Human answers that are not all
/// alike go through the punctuation step first, and no other. Throws ArgumentError when there is no
/// human answer, TextError for invalid UTF-8.
inline double vqa_accuracy(std::string_view prediction, std::span<std::string const> answers) {
    if (answers.empty())
        throw ArgumentError("VQA accuracy: there is no human answer to compare with");
    std::string const normal = normalize_vqa_answer(prediction);
    bool const alike =
        std::ranges::all_of(answers, [&](auto const& answer) { return answer == answers[0]; });
    std::vector<bool> agrees;
    for (auto const& answer : answers)
        agrees.push_back((alike ? answer : strip_vqa_punctuation(answer)) == normal);
    auto const agreeing = std::ranges::count(agrees, true);
    double sum = 0;
    for (bool const mine : agrees)
        sum += std::min(1.0, static_cast<double>(agreeing - (mine ? 1 : 0)) / 3);
    return sum / static_cast<double>(answers.size());
}

/// The official VQA accuracy of a data set, in percent.
class VqaAccuracy {
public:
    /// `type` groups questions: "yes/no", "number", "other"; empty: in no group.
    void add(std::string_view prediction, std::span<std::string const> answers,
             std::string const& type = {}) {
        double const accuracy = vqa_accuracy(prediction, answers);
        all_.add(accuracy);
        if (!type.empty())
            types_[type].add(accuracy);
    }

    std::size_t questions() const { return all_.count; }

    /// Rounded to two decimals, as the script reports it. Throws ArgumentError before any question.
    double overall() const {
        if (all_.count == 0)
            throw ArgumentError("VQA accuracy: no question was added");
        return all_.percent();
    }

    /// The same for every type of question.
    std::map<std::string, double> by_type() const {
        std::map<std::string, double> percents;
        for (auto const& [type, mean] : types_)
            percents[type] = mean.percent();
        return percents;
    }

private:
    struct Mean {
        double sum = 0;
        std::size_t count = 0;

        void add(double value) {
            sum += value;
            ++count;
        }
        double percent() const {
            // Correct decimal rounding of the binary number, as Python's round.
            std::array<char, 32> digits{};
            auto const [end, fault] =
                std::to_chars(digits.data(), digits.data() + digits.size(),
                              100 * sum / static_cast<double>(count), std::chars_format::fixed, 2);
            double rounded = 0;
            std::from_chars(digits.data(), end, rounded);
            return rounded;
        }
    };

    Mean all_;
    std::map<std::string, Mean> types_;
};

} // namespace blip
