#include "training_data.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <zlib.h>

namespace support {

TrainingData::TrainingData(std::vector<DataPart> const& parts, SampleOptions const& options,
                           std::int64_t seed)
    : options_(options) {
    std::vector<blip::SourceShare> shares;
    for (auto const& part : parts) {
        sources_.push_back(blip::DataSource::open(part.path, {.pictures = part.pictures}));
        auto const size = sources_.back().size();
        shares.push_back({size, part.weight.value_or(0)});
        size_ += size;
    }
    order_.emplace(std::move(shares), static_cast<std::uint64_t>(seed));
}

Sample TrainingData::draw(std::uint64_t number, std::uint64_t attempt) const {
    auto const place = order_->at(number, attempt);
    return make_sample(record(place.source, place.index), options_, order_->key(number, attempt));
}

Sample TrainingData::item(std::uint64_t index) const {
    return make_sample(record(index), options_, {});
}

std::int64_t TrainingData::checksum_of_texts() const {
    std::uint64_t const looked_at = std::min<std::uint64_t>(size_, 1000);
    uLong sum = 0;
    auto const add = [&](std::string const& text) {
        // The zero at the end keeps "ab", "c" apart from "a", "bc".
        sum = ::crc32_z(sum, reinterpret_cast<Bytef const*>(text.c_str()), text.size() + 1);
    };
    for (std::uint64_t i = 0; i < looked_at; ++i)
        try {
            auto const found = record(i * size_ / looked_at);
            for (auto const& picture : found.pictures)
                add(picture.member.empty() ? picture.file.filename().string() : picture.member);
            for (auto const& texts : {found.captions, found.answers})
                for (auto const& text : texts)
                    add(text);
            for (auto const& text : {found.question, found.image_id, found.dataset})
                add(text);
            add(found.label ? (*found.label ? "true" : "false") : "");
        } catch (blip::Error const&) {
            add("broken"); // whoever needs it will be told
        }
    return static_cast<std::int64_t>(sum);
}

blip::TrainingRecord TrainingData::record(std::uint64_t index) const {
    std::size_t source = 0;
    for (; index >= sources_[source].size(); ++source)
        index -= sources_[source].size();
    return record(source, index);
}

blip::TrainingRecord TrainingData::record(std::size_t source, std::uint64_t index) const {
    auto found = sources_[source].record(index);
    // Every list may number its pictures from 1: those of two lists are two pictures.
    if (sources_.size() > 1 && !found.image_id.empty())
        found.image_id = blip::join(source, ' ', found.image_id);
    return found;
}

} // namespace support
