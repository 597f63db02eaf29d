#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/ordered_pipeline.hpp>

namespace blip {

/// A sample that could not be prepared and was replaced.
struct BrokenSample {
    std::uint64_t number = 0;  ///< of the sample in the run
    std::uint64_t attempt = 0; ///< 0: the one that belongs there, 1: its first replacement, ...
    std::string message;       ///< says what and where
};

/// How a Loader works.
struct LoaderOptions {
    std::size_t threads = 1;      ///< workers; 0: everything happens in next()
    std::size_t batch = 1;        ///< samples of a step
    std::size_t ahead = 2;        ///< steps whose samples are prepared before they are asked for
    std::uint64_t first_step = 0; ///< > 0: a resumed run
    std::size_t max_broken = 0;   ///< different broken samples after which training ends
    /// Told of each broken sample once, on the caller's thread, within next().
    std::function<void(BrokenSample const&)> on_broken{};
};

/// Samples for one step after another, prepared by worker threads ahead of the step that needs
/// them. Which samples a step gets does not depend on the number of threads.
template <class Sample>
class Loader {
public:
    /// Makes the sample with a number (counted over all steps of the run) and attempt; called by
    /// several threads at a time. A blip::Error says that the sample is broken: it is counted and
    /// replaced by that of the next attempt. Anything else ends the run.
    using Prepare = std::function<Sample(std::uint64_t number, std::uint64_t attempt)>;

    /// Workers start at once. Throws ArgumentError for a batch of 0.
    Loader(Prepare prepare, LoaderOptions options)
        : prepare_(std::move(prepare)), options_(std::move(options)) {
        if (options_.batch == 0 || !prepare_)
            throw ArgumentError("Loader: batches of 0 samples, or no function that prepares them; "
                                "expected both");
        if (options_.first_step > UINT64_MAX / options_.batch)
            throw ArgumentError(join("Loader: there is no step ", options_.first_step));
        next_number_ = options_.first_step * options_.batch;
        if (options_.threads > 0)
            pipeline_.emplace([number = next_number_]() mutable { return std::optional(number++); },
                              [this](std::uint64_t number) { return prepare_sample(number); },
                              PipelineOptions{.threads = options_.threads,
                                              .capacity = std::max<std::size_t>(options_.ahead, 1) *
                                                          options_.batch});
    }

    /// Waits for samples that are being prepared; nothing else is begun.
    ~Loader() = default;

    /// The samples of the next step. Throws LimitError when more than max_broken samples were
    /// broken, naming the first few, and whatever `prepare` threw that is no blip::Error; the run
    /// is over then.
    std::vector<Sample> next() {
        if (failure_)
            std::rethrow_exception(failure_);
        auto const start = std::chrono::steady_clock::now();
        std::vector<Sample> samples;
        samples.reserve(options_.batch);
        try {
            for (std::size_t i = 0; i < options_.batch; ++i, ++next_number_) {
                auto prepared =
                    pipeline_ ? std::move(*pipeline_->next()) : prepare_sample(next_number_);
                report(prepared.broken);
                if (!prepared.sample)
                    give_up(join(prepared.broken.size(), " samples in a row were broken"));
                samples.push_back(std::move(*prepared.sample));
            }
        } catch (...) {
            failure_ = std::current_exception();
            throw;
        }
        waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return samples;
    }

    /// Time that next() took in all: what the loader cost the training.
    double seconds_waited() const { return waited_; }

    /// Different broken samples met so far.
    std::size_t broken() const { return messages_.size(); }

private:
    struct Prepared {
        std::optional<Sample> sample;
        std::vector<BrokenSample> broken;
    };

    /// However small the data is and however much of it is broken, this many attempts meet a good
    /// sample.
    static constexpr std::uint64_t most_attempts = 1000;

    Prepared prepare_sample(std::uint64_t number) const {
        Prepared prepared;
        std::set<std::string> messages;
        for (std::uint64_t attempt = 0; attempt < most_attempts; ++attempt) {
            try {
                prepared.sample.emplace(prepare_(number, attempt));
                return prepared;
            } catch (Error const& error) {
                prepared.broken.push_back({number, attempt, error.what()});
                messages.insert(error.what());
            }
            if (messages.size() > options_.max_broken)
                break;
        }
        return prepared;
    }

    void report(std::vector<BrokenSample> const& broken) {
        for (auto const& sample : broken) {
            if (!messages_.insert(sample.message).second)
                continue;
            if (first_.size() < shown)
                first_.push_back(sample.message);
            if (options_.on_broken)
                options_.on_broken(sample);
            if (messages_.size() > options_.max_broken)
                give_up(join(messages_.size(), " samples are broken, more than the ",
                             options_.max_broken, " that are allowed"));
        }
    }

    [[noreturn]] void give_up(std::string const& why) const {
        std::string text = join("training data: ", why,
                                ". Mend or remove them, or allow more broken samples. The first:");
        for (auto const& message : first_)
            text += "\n  " + message;
        throw LimitError(text);
    }

    static constexpr std::size_t shown = 5;

    Prepare prepare_;
    LoaderOptions options_;
    std::uint64_t next_number_ = 0;
    double waited_ = 0;
    std::set<std::string> messages_;
    std::vector<std::string> first_;
    std::exception_ptr failure_;
    // Last, so that its threads end before what they use.
    std::optional<OrderedPipeline<std::uint64_t, Prepared>> pipeline_;
};

} // namespace blip
