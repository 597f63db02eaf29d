#include "sample.hpp"

#include <algorithm>
#include <utility>

#include <blip/core/error.hpp>
#include <blip/text/cleaning.hpp>

#include "../html_report.hpp"

namespace support {

namespace {

/// A number for a picture: from its id where the list has one, else from where it lies.
std::int64_t picture_number(blip::TrainingRecord const& record) {
    std::uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    auto const name = record.image_id.empty() ? record.pictures.front().name() : record.image_id;
    for (char const c : name)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return static_cast<std::int64_t>(hash >> 1);
}

blip::RecordNeeds needs_of(SampleKind kind) {
    switch (kind) {
    case SampleKind::question:
        return {.question = true, .answers = true};
    case SampleKind::pair:
        return {.pictures = 2, .captions = true, .label = true};
    default:
        return {.captions = true};
    }
}

} // namespace

Sample make_sample(blip::TrainingRecord record, SampleOptions const& options, blip::RandomKey key) {
    enum Stream : std::uint64_t { picture, text, pair };
    blip::check_record(record, needs_of(options.kind));
    Sample sample;
    sample.picture = picture_number(record);
    sample.where = record.where;
    switch (options.kind) {
    case SampleKind::caption: {
        sample.text = blip::clean_caption(
            options.validation ? record.captions.front()
                               : blip::choose_text(record.captions, split(key, text)),
            options.max_words);
        if (sample.text.empty())
            throw blip::FormatError(
                blip::join(record.where, ": a caption holds no word, only what cleaning removes"));
        sample.references = record.captions;
        break;
    }
    case SampleKind::question:
        sample.question = blip::clean_question(record.question, options.max_words);
        sample.answers = blip::weigh_answers(record.answers);
        if (record.dataset == "vg")
            for (auto& answer : sample.answers)
                answer.weight = blip::visual_genome_weight;
        sample.references = record.answers;
        break;
    case SampleKind::pair:
        // Cleaned first: the words left and right are found between spaces, in small letters.
        record.captions = {blip::clean_caption(record.captions.front(), options.max_words)};
        if (!options.validation)
            blip::exchange_pair(record, split(key, pair));
        sample.text = record.captions.front();
        sample.label = *record.label ? 1 : 0;
        break;
    }
    std::size_t const side = options.preprocess.size;
    auto const floats = blip::preprocessed_size(options.preprocess);
    sample.pixels.resize(record.pictures.size() * floats);
    for (std::size_t i = 0; i < record.pictures.size(); ++i) {
        auto image = blip::read_picture(record.pictures[i]);
        if (options.validation) {
            if (sample.thumbnail.empty())
                sample.thumbnail = thumbnail(image);
        } else {
            image = blip::augment(image, options.augment, side, split(split(key, picture), i));
        }
        blip::preprocess(image, options.preprocess,
                         std::span(sample.pixels).subspan(i * floats, floats));
    }
    return sample;
}

blip::Pixels gather_pixels(std::span<Sample const> samples, std::size_t side) {
    std::size_t const floats = 3 * side * side;
    std::size_t const each = samples.empty() ? 0 : samples.front().pixels.size() / floats;
    blip::Pixels pixels(blip::Pixels::shape_type{each * samples.size(), 3, side, side});
    float* to = pixels.data();
    for (std::size_t i = 0; i < each; ++i)
        for (auto const& sample : samples)
            to = std::copy_n(sample.pixels.begin() + static_cast<std::ptrdiff_t>(i * floats),
                             floats, to);
    return pixels;
}

} // namespace support
