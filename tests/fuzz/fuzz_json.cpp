#include <blip/io/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    for (auto const duplicates : {blip::DuplicateKeys::keep_last, blip::DuplicateKeys::refuse}) {
        try {
            blip::JsonDocument const document(
                blip::parse_json(text, "input", {.duplicate_keys = duplicates}), "input");
            document.value_or<int>("a", 0);
            document.value_or<double>("a.b", 0);
            document.value_or<std::vector<std::string>>("b", {});
        } catch (blip::Error const&) {
        }
    }
    return 0;
}
