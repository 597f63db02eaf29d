#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/random.hpp>

namespace blip {

/// A random order of the numbers below `size` that takes no memory: a Feistel network over the next
/// power of four, walked until it gives a number below `size`.
class Permutation {
public:
    /// Throws ArgumentError for size 0 or beyond 2^62.
    Permutation(std::uint64_t size, RandomKey key) : size_(size), key_(key) {
        if (size == 0 || size > std::uint64_t{1} << 62)
            throw ArgumentError(join("Permutation: of ", size, " numbers; expected 1 to 2^62"));
        // Tiny networks mix badly, so that few numbers are walked within a larger one.
        half_bits_ = std::max((static_cast<int>(std::bit_width(size - 1)) + 1) / 2, 3);
        mask_ = (std::uint64_t{1} << half_bits_) - 1;
    }

    std::uint64_t size() const { return size_; }

    /// What stands at place `at`, below size().
    std::uint64_t operator()(std::uint64_t at) const {
        do
            at = step(at);
        while (at >= size_);
        return at;
    }

private:
    std::uint64_t step(std::uint64_t value) const {
        constexpr std::uint64_t rounds = 6;
        std::uint64_t left = value >> half_bits_, right = value & mask_;
        for (std::uint64_t round = 0; round < rounds; ++round) {
            auto const words = random_block(key_, right * rounds + round);
            auto const mixed = (std::uint64_t{words[0]} << 32 | words[1]) & mask_;
            left = std::exchange(right, left ^ mixed);
        }
        return left << half_bits_ | right;
    }

    std::uint64_t size_;
    RandomKey key_;
    int half_bits_ = 0;
    std::uint64_t mask_ = 0;
};

/// A source of samples and how often it is drawn from.
struct SourceShare {
    std::uint64_t size = 0; ///< samples in the source
    double weight = 0;      ///< share of all draws, relative to the other sources'; see MixedOrder
};

/// Which sample a place of a training run has.
struct Draw {
    std::size_t source = 0;
    std::uint64_t index = 0; ///< within the source
    std::uint64_t pass = 0;  ///< how often the source was gone through before

    friend bool operator==(Draw const&, Draw const&) = default;
};

/// The order of samples of a whole training run, a function of the seed and the sample's number
/// alone: nothing to save, any place found at once, so that a resumed run goes on exactly.
///
/// All weights 0: the sources are one list, each pass through it is another permutation. Otherwise
/// all weights are positive: every 65,536 draws hold each source in proportion to its weight (at
/// least once), in random order, and each source goes through its own passes.
class MixedOrder {
public:
    /// Throws ArgumentError when there is no source, one is empty, or weights are neither all 0 nor
    /// all positive and finite.
    MixedOrder(std::vector<SourceShare> sources, std::uint64_t seed)
        : sources_(std::move(sources)), seed_(seed) {
        std::size_t weighted = 0;
        double sum = 0;
        for (std::size_t i = 0; i < sources_.size(); ++i) {
            auto const& [size, weight] = sources_[i];
            if (size == 0)
                throw ArgumentError(join("the order of samples: source ", i, " has none"));
            if (!(weight >= 0) || !std::isfinite(weight))
                throw ArgumentError(join("the order of samples: source ", i, " has weight ", weight,
                                         "; expected a positive number"));
            weighted += weight > 0 ? 1 : 0;
            sum += weight;
            total_ += size;
        }
        if (sources_.empty() || sources_.size() > block / 2)
            throw ArgumentError(join("the order of samples: ", sources_.size(),
                                     " sources; expected 1 to ", block / 2));
        if (weighted != 0 && weighted != sources_.size())
            throw ArgumentError("the order of samples: some sources have a weight and some have "
                                "none; give all of them one, or none");
        if (weighted != 0)
            set_quotas(sum);
    }

    std::uint64_t seed() const { return seed_; }

    /// Samples in all sources.
    std::uint64_t epoch_samples() const { return total_; }

    /// Whole batches in them, at least 1: what is called an epoch.
    std::uint64_t steps_per_epoch(std::uint64_t batch) const {
        return std::max<std::uint64_t>(1, total_ / std::max<std::uint64_t>(batch, 1));
    }

    /// The sample with number `number` of the run, counted over all steps. `attempt` > 0 is the one
    /// that replaces it where those before were broken: any sample of the same source.
    Draw at(std::uint64_t number, std::uint64_t attempt = 0) const {
        auto draw = quotas_.empty() ? from_one_list(number) : from_mixture(number);
        if (attempt > 0) {
            auto const words = random_block(key(number, attempt), 0);
            draw.index = (std::uint64_t{words[0]} << 32 | words[1]) % sources_[draw.source].size;
        }
        return draw;
    }

    /// For everything random about that sample, such as its augmentation.
    RandomKey key(std::uint64_t number, std::uint64_t attempt = 0) const {
        return split(split({seed_, samples}, number), attempt);
    }

private:
    static constexpr std::uint64_t block = std::uint64_t{1} << 16;
    /// Streams of the seed.
    static constexpr std::uint64_t samples = 0x53414D50, passes = 0x50415353, blocks = 0x424C4F43;

    /// Shares of a block by largest remainder, each at least 1.
    void set_quotas(double sum) {
        std::vector<double> rest;
        std::uint64_t given = 0;
        for (auto const& source : sources_) {
            double const exact = source.weight / sum * static_cast<double>(block);
            quotas_.push_back(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(exact)));
            rest.push_back(exact - static_cast<double>(quotas_.back()));
            given += quotas_.back();
        }
        for (; given != block; given < block ? ++given : --given) {
            // Too few: to the source most below its share; too many: from the one most above.
            std::size_t pick = quotas_.size();
            for (std::size_t i = 0; i < quotas_.size(); ++i) {
                bool const allowed = given < block || quotas_[i] > 1;
                bool const better = pick == quotas_.size() ||
                                    (given < block ? rest[i] > rest[pick] : rest[i] < rest[pick]);
                if (allowed && better)
                    pick = i;
            }
            quotas_[pick] += given < block ? 1 : std::uint64_t(-1);
            rest[pick] += given < block ? -1 : 1;
        }
    }

    RandomKey pass_key(std::uint64_t source, std::uint64_t pass) const {
        return split(split({seed_, passes}, source), pass);
    }

    Draw from_one_list(std::uint64_t number) const {
        auto const pass = number / total_;
        auto place = Permutation(total_, pass_key(0, pass))(number % total_);
        std::size_t source = 0;
        for (; place >= sources_[source].size; ++source)
            place -= sources_[source].size;
        return {source, place, pass};
    }

    Draw from_mixture(std::uint64_t number) const {
        auto const which = number / block;
        auto place = Permutation(block, split({seed_, blocks}, which))(number % block);
        std::size_t source = 0;
        for (; place >= quotas_[source]; ++source)
            place -= quotas_[source];
        // `place` counts this source's draws within the block, in whatever order.
        auto const drawn = which * quotas_[source] + place;
        auto const size = sources_[source].size;
        auto const pass = drawn / size;
        return {source, Permutation(size, pass_key(source, pass))(drawn % size), pass};
    }

    std::vector<SourceShare> sources_;
    std::uint64_t seed_;
    std::uint64_t total_ = 0;
    std::vector<std::uint64_t> quotas_; ///< draws of each source in a block; none: one list
};

} // namespace blip
