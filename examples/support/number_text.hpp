#pragma once

#include <charconv>
#include <concepts>
#include <cstdio>
#include <string>

namespace support {

/// The shortest decimal number that reads back as `value`: for files.
template <std::floating_point T>
std::string number_text(T value) {
    char text[64];
    auto const end = std::to_chars(text, text + sizeof text, value).ptr;
    return std::string(text, end);
}

/// A rounded number for people, by a printf format for double.
inline std::string rounded_text(double value, char const* format = "%.4g") {
    char text[40];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

} // namespace support
