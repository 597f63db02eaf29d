#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/losses/language_modeling.hpp>
#include <blip/networks/upload_text.hpp>
#include <blip/text/wordpiece.hpp>
#include <blip/vision/image.hpp>

#include "arguments.hpp"
#include "number_text.hpp"

namespace support {

/// How one known answer came out.
enum class Verdict {
    agrees,
    differs,
    unavailable ///< the checkpoint or the picture is not there, or could not be used
};

/// A line of the report.
struct KnownAnswer {
    std::string what;  ///< "caption, 3 beams"
    std::string model; ///< file or folder of the checkpoint
    std::string expected, found;
    Verdict verdict = Verdict::unavailable;
    bool indicative = false; ///< published with unclear provenance: a difference is no failure
};

/// How far numbers may be off: by `absolute`, or by `relative` times what is expected.
struct Tolerance {
    double absolute = 0, relative = 0;
};

inline std::string to_text(std::span<double const> numbers) {
    std::string text;
    for (double const number : numbers)
        text += (text.empty() ? "" : " ") + rounded_text(number, "%.5g");
    return text;
}

inline std::string to_text(std::span<int const> ids) {
    std::string text;
    for (int const id : ids)
        text += (text.empty() ? "" : " ") + std::to_string(id);
    return text;
}

/// Whether as many numbers were found as were expected, each within the tolerance; what is not a
/// number agrees with nothing.
inline bool agree(std::span<double const> expected, std::span<double const> found,
                  Tolerance const& tolerance) {
    return std::equal(expected.begin(), expected.end(), found.begin(), found.end(),
                      [&](double a, double b) {
                          return std::abs(a - b) <=
                                 std::max(tolerance.absolute, tolerance.relative * std::abs(a));
                      });
}

/// Compares what checkpoints give with what they are known to give, and keeps the report.
class Verification {
public:
    /// `compute()` gives a text; it must be `expected`.
    template <class F>
    void text(std::string what, std::string model, std::string const& expected, F const& compute,
              bool indicative = false) {
        add(std::move(what), std::move(model), expected, indicative, [&] {
            std::string found = compute();
            bool const same = found == expected;
            return std::pair{std::move(found), same};
        });
    }

    /// `compute()` gives ids; they must be `expected`.
    template <class F>
    void ids(std::string what, std::string model, std::vector<int> const& expected,
             F const& compute) {
        add(std::move(what), std::move(model), to_text(expected), false, [&] {
            std::vector<int> const found = compute();
            return std::pair{to_text(found), found == expected};
        });
    }

    /// `compute()` gives numbers; they must be `expected` within the tolerance.
    template <class F>
    void numbers(std::string what, std::string model, std::vector<double> const& expected,
                 Tolerance const& tolerance, F const& compute) {
        add(std::move(what), std::move(model), to_text(expected), false, [&] {
            std::vector<double> const found = compute();
            return std::pair{to_text(found), agree(expected, found, tolerance)};
        });
    }

    std::vector<KnownAnswer> const& answers() const { return answers_; }

    std::size_t count(Verdict verdict, bool indicative) const {
        return static_cast<std::size_t>(std::ranges::count_if(answers_, [&](auto const& answer) {
            return answer.verdict == verdict && answer.indicative == indicative;
        }));
    }

    /// Success: everything could be checked and agrees, indicative answers apart. Some failed: one
    /// differs, or could not be checked. Unusable: nothing could be checked.
    int status() const {
        auto const checked = std::ranges::count_if(
            answers_, [](auto const& answer) { return answer.verdict != Verdict::unavailable; });
        if (checked == 0)
            return unusable;
        bool const all =
            count(Verdict::differs, false) == 0 && count(Verdict::unavailable, false) == 0;
        return all ? success : some_failed;
    }

    /// The report: a line a check, columns aligned.
    std::string table() const {
        std::vector<std::vector<std::string>> rows{
            {"verdict", "check", "checkpoint", "expected", "found"}};
        for (auto const& answer : answers_)
            rows.push_back(
                {verdict_text(answer), answer.what, answer.model, answer.expected, answer.found});
        std::vector<std::size_t> widths(rows.front().size());
        for (auto const& row : rows)
            for (std::size_t column = 0; column + 1 < row.size(); ++column)
                widths[column] = std::max(widths[column], row[column].size());
        std::string text;
        for (auto const& row : rows) {
            for (std::size_t column = 0; column < row.size(); ++column) {
                text += row[column];
                if (column + 1 < row.size())
                    text += std::string(widths[column] - row[column].size() + 2, ' ');
            }
            text += '\n';
        }
        return text;
    }

    /// One line: how many agree, differ, and could not be checked.
    std::string summary() const {
        auto const both = [this](Verdict verdict) {
            return count(verdict, false) + count(verdict, true);
        };
        auto text = blip::join(both(Verdict::agrees), " of ", answers_.size(), " agree, ",
                               both(Verdict::differs), " differ, ", both(Verdict::unavailable),
                               " could not be checked");
        if (auto const indicative = count(Verdict::differs, true); indicative > 0)
            text += blip::join(" (", indicative,
                               " of those that differ only indicative: published with a checkpoint "
                               "that was since replaced)");
        return text;
    }

private:
    static std::string verdict_text(KnownAnswer const& answer) {
        switch (answer.verdict) {
        case Verdict::agrees:
            return "agrees";
        case Verdict::differs:
            return answer.indicative ? "differs*" : "DIFFERS";
        case Verdict::unavailable:
            break;
        }
        return "not checked";
    }

    template <class F>
    void add(std::string what, std::string model, std::string expected, bool indicative,
             F const& check) {
        KnownAnswer answer{.what = std::move(what),
                           .model = std::move(model),
                           .expected = std::move(expected),
                           .found = {},
                           .indicative = indicative};
        try {
            auto [found, same] = check();
            answer.found = std::move(found);
            answer.verdict = same ? Verdict::agrees : Verdict::differs;
        } catch (std::exception const& error) {
            answer.found = error.what();
            std::ranges::replace(answer.found, '\n', ' ');
        }
        answers_.push_back(std::move(answer));
    }

    std::vector<KnownAnswer> answers_;
};

/// The checkpoint `name` below `root`: a file or folder of that name, in a folder of its owner or
/// in the layout of the hub's cache. Throws FileError when there is none.
inline std::filesystem::path find_checkpoint(std::filesystem::path const& root,
                                             std::string const& name) {
    namespace fs = std::filesystem;
    std::error_code ignored;
    for (fs::path const& path : {root / name, root / "Salesforce" / name})
        if (fs::exists(path, ignored))
            return path;
    auto const snapshots = root / ("models--Salesforce--" + name) / "snapshots";
    if (fs::is_directory(snapshots, ignored))
        for (auto const& entry : fs::directory_iterator(snapshots))
            if (entry.is_directory())
                return entry.path();
    throw blip::FileError(blip::join(name, " is not in ", root.string()));
}

/// The ids that a caption's loss is made of: those after [DEC], without the first `masked` - 1.
inline std::vector<int> label_ids(blip::Tokenizer const& tokenizer, std::string const& caption,
                                  int masked) {
    auto const ids = tokenizer.encode(caption);
    return {ids.begin() + std::min<std::ptrdiff_t>(masked, std::ssize(ids)), ids.end()};
}

/// The captioning loss of one caption for every picture, the first `masked` tokens not supervised.
/// `smoothing` as in training.
template <class Captioner>
double caption_loss(Captioner const& captioner, blip::Pixels const& pixels,
                    std::span<std::string const> captions, int masked) {
    using B = typename Captioner::backend;
    using Network = typename Captioner::Network;
    auto const& tokenizer = captioner.tokenizer();
    auto const batch = with_first(tokenizer.encode_batch(captions, {.max_length = 40}),
                                  tokenizer.vocabulary().special().dec);
    std::vector<int> labels(batch.ids);
    for (std::size_t i = 0; i < labels.size(); ++i)
        if (batch.mask[i] == 0 ||
            static_cast<int>(i % static_cast<std::size_t>(batch.length)) < masked)
            labels[i] = blip::ignored_target;
    typename B::Engine engine = captioner.shared()->engine;
    blip::Arena<B> arena;
    blip::Context<B> ctx{engine, arena, blip::Keep::nothing};
    auto const count = static_cast<std::ptrdiff_t>(pixels.size());
    typename Network::Images const images{ctx.take(count), static_cast<int>(pixels.shape()[0])};
    B::upload(engine, images.data, pixels.data(), count);
    typename Network::Cache cache;
    return captioner.network().loss(
        images, blip::upload_text<typename Captioner::config::text>(batch, ctx), labels,
        {.smoothing = captioner.settings().label_smoothing}, cache, ctx);
}

/// The mean of all numbers of an array.
template <class Array>
double mean_of(Array const& array) {
    double sum = 0;
    for (auto const value : array)
        sum += static_cast<double>(value);
    return sum / static_cast<double>(std::max<std::size_t>(array.size(), 1));
}

/// The upper left `size` x `size` pixels of every picture: what is left of pictures whose side is
/// no multiple of the patch size.
inline blip::Pixels upper_left(blip::Pixels const& pixels, std::size_t size) {
    auto const& from = pixels.shape();
    if (size > from[2] || size > from[3])
        throw blip::ArgumentError(blip::join("pictures of ", from[3], " x ", from[2],
                                             " pixels have no part of ", size, " x ", size));
    blip::Pixels part(blip::Pixels::shape_type{from[0], from[1], size, size});
    for (std::size_t n = 0; n < from[0]; ++n)
        for (std::size_t c = 0; c < from[1]; ++c)
            for (std::size_t y = 0; y < size; ++y)
                for (std::size_t x = 0; x < size; ++x)
                    part(n, c, y, x) = pixels(n, c, y, x);
    return part;
}

} // namespace support
