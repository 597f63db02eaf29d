#pragma once

#include <cstdio>
#include <string>

namespace support {

/// A number for people, by a printf format for double.
inline std::string number_text(double value, char const* format = "%.4g") {
    char text[40];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

} // namespace support
