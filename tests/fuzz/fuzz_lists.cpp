#include <blip/train/csv_source.hpp>
#include <blip/train/json_source.hpp>
#include <blip/train/parts.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace {

using blip::detail::PictureNames;

/// Calls `step`, which may throw an Error.
template <class Step>
void attempt(Step const& step) {
    try {
        step();
    } catch (blip::Error const&) {
    }
}

void read_json(std::string_view text, blip::DataSourceOptions const& options) {
    for (auto const& span : blip::detail::json_records(text, "input", options))
        attempt([&] {
            auto const element = blip::parse_json(span.of(text), "input");
            auto const record = blip::detail::record_of(blip::fields_of(element, "input"), "input",
                                                        "folder", PictureNames::in_record);
            blip::check_record(record, {.captions = true, .question = true, .label = true});
        });
}

void read_csv(std::string_view text, blip::DataSourceOptions const& options) {
    auto const csv = blip::detail::read_csv(text, "input", options);
    for (std::size_t i = 0; i < csv.rows.size(); ++i)
        attempt([&] {
            blip::detail::record_of(blip::detail::csv_fields(csv, text, i, "input"), "input",
                                    "folder", PictureNames::in_record);
        });
}

} // namespace

/// libFuzzer target: any text, as a list, a table or what stands beside a picture, gives records or
/// an Error.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string const whole(reinterpret_cast<char const*>(data), size);
    blip::DataSourceOptions const options{.max_records = 1000, .max_record_bytes = 10'000};
    attempt([&] { read_json(blip::without_mark(whole, "input"), options); });
    attempt([&] { read_csv(blip::without_mark(whole, "input"), options); });
    attempt([&] { blip::detail::record_of_parts({}, &whole, nullptr, "input"); });
    attempt([&] { blip::detail::record_of_parts({}, nullptr, &whole, "input"); });
    return 0;
}
