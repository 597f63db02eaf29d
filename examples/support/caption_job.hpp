#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <blip/io/write_file.hpp>

#include "caption_arguments.hpp"
#include "caption_model.hpp"
#include "confidence.hpp"
#include "job.hpp"
#include "settle_search.hpp"
#include "sidecar.hpp"

namespace support {

inline Schema caption_schema(std::size_t captions) {
    Schema schema;
    schema.columns = {"rank", "caption", "log_probability", "score", "width", "height"};
    schema.entries = captions;
    schema.title = "Captions";
    return schema;
}

/// Puts the captions of one picture, best first, into its record.
inline void fill_record(Record& record, std::vector<blip::Caption> const& captions,
                        blip::ImageSize size) {
    auto& list = record.members["captions"] = nlohmann::ordered_json::array();
    for (auto const& caption : captions) {
        list.push_back({{"text", caption.text},
                        {"log_probability", caption.log_probability},
                        {"score", caption.score},
                        {"ids", caption.ids},
                        {"token_log_probabilities", caption.token_log_probabilities}});
        record.entries.push_back(
            {.text = caption.text,
             .cells = {std::to_string(list.size()), caption.text,
                       number_text(caption.log_probability), number_text(caption.score),
                       std::to_string(size.width), std::to_string(size.height)},
             .share = confidence(caption.token_log_probabilities),
             .hint = "mean probability of a token; log p " + number_text(caption.log_probability)});
    }
    record.members["width"] = size.width;
    record.members["height"] = size.height;
    record.note = blip::join(size.width, " × ", size.height);
}

/// Describes pictures.
class CaptionJob final : public Job {
public:
    CaptionJob(CaptionArguments const& arguments, CaptionModel const& model)
        : arguments_(arguments), model_(model), options_(arguments.options) {
        settle_search(options_, model.generation_defaults());
    }

    /// Whether only a sidecar is wanted, which is there.
    bool is_done(Item const& item) const override {
        std::error_code ignored;
        return arguments_.sidecar && arguments_.resume && arguments_.output.empty() &&
               arguments_.html.empty() &&
               std::filesystem::exists(sidecar_of(item.paths.front()), ignored);
    }

    void prepare(Work& work) const override {
        read_pictures(work, {.preprocess = model_.preprocessing(),
                             .upright = arguments_.exif_orientation,
                             .thumbnails = !arguments_.html.empty()});
    }

    void compute(std::span<Work* const> batch) override {
        for_each_numbered(batch, *options_.sample,
                          [this](std::span<Work* const> some) { describe(some); });
    }

    std::string write_beside(Record const& record) const override {
        if (!arguments_.sidecar || !record.error.empty())
            return {};
        auto const path = sidecar_of(record.key.front());
        std::error_code ignored;
        if (!arguments_.force && std::filesystem::exists(path, ignored))
            return arguments_.resume
                       ? ""
                       : blip::join(path.string(), ": exists already and is kept. --resume ",
                                    "passes over such pictures, --force replaces their texts");
        for (auto const& written : {arguments_.output, arguments_.html})
            if (!written.empty() && std::filesystem::equivalent(path, written, ignored))
                return blip::join(path.string(), ": is what all captions are written to, so ",
                                  record.key.front(), " has no text file of its own");
        std::string text;
        for (auto const& entry : record.entries)
            text += entry.text + "\n";
        blip::write_file(path, text);
        return {};
    }

private:
    void describe(std::span<Work* const> batch) {
        auto options = options_;
        options.first_image = batch.front()->item.index;
        auto const captions =
            model_.generate(gather_pixels(batch, model_.preprocessing().size), options);
        for (std::size_t i = 0; i < batch.size(); ++i)
            fill_record(batch[i]->records.front(), captions[i], batch[i]->sizes.front());
    }

    CaptionArguments const& arguments_;
    CaptionModel const& model_;
    blip::CaptionOptions options_;
};

} // namespace support
