#include <support/catch.hpp>

#include <string>
#include <string_view>
#include <type_traits>

#include <blip/core/error.hpp>

using namespace blip;

TEMPLATE_TEST_CASE("every error is an Error with its text", "", FileError, FormatError, LimitError,
                   TextError, CheckpointError, ConfigError, ArgumentError, DeviceError) {
    static_assert(std::is_base_of_v<std::runtime_error, Error>);
    try {
        throw TestType("what happened");
    } catch (Error const& error) {
        CHECK(std::string(error.what()) == "what happened");
    }
}

TEST_CASE("join writes its parts one after another") {
    CHECK(join("expected ", 3, ", found ", 4.5, '!') == "expected 3, found 4.5!");
    CHECK(join("").empty());
    CHECK(join().empty());
    std::string const text = "text";
    char const* const pointer = "pointer";
    char array[] = "array";
    CHECK(join(std::string("a temporary "), std::string_view(text).substr(1), ' ', pointer, ' ',
               array, ' ', text, ' ', true, ' ', -1L) == "a temporary ext pointer array text 1 -1");
}
