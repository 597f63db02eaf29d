#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <blip/train/data_source.hpp>
#include <blip/train/sampler.hpp>

#include "plan.hpp"
#include "sample.hpp"

namespace support {

/// The sources of a run and the order in which training goes through them.
class TrainingData {
public:
    /// Throws what opening a source throws.
    TrainingData(std::vector<DataPart> const& parts, SampleOptions const& options,
                 std::int64_t seed);

    std::uint64_t size() const { return size_; }
    blip::MixedOrder const& order() const { return *order_; }

    /// Sample `number` of the training.
    Sample draw(std::uint64_t number, std::uint64_t attempt) const;

    /// Item `index` of the sources one after another, as validation takes it.
    Sample item(std::uint64_t index) const;

    /// CRC-32 of the texts and picture names of at most 1,000 records, evenly spread.
    std::int64_t checksum_of_texts() const;

private:
    blip::TrainingRecord record(std::uint64_t index) const;
    blip::TrainingRecord record(std::size_t source, std::uint64_t index) const;

    SampleOptions options_;
    std::vector<blip::DataSource> sources_;
    std::optional<blip::MixedOrder> order_;
    std::uint64_t size_ = 0;
};

} // namespace support
