#pragma once

#include <initializer_list>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace blip {

/// Base of everything this library throws. `what()` says what was wrong, where, what was expected,
/// what was found and, where there is a remedy, what to do.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A file or folder cannot be opened, read, mapped or written.
class FileError : public Error {
public:
    using Error::Error;
};

/// Bytes are not what their format promises: a damaged picture, archive, JSON text or tensor file.
class FormatError : public Error {
public:
    using Error::Error;
};

/// Input asks for more memory, depth or size than the caller's limit allows.
class LimitError : public Error {
public:
    using Error::Error;
};

/// Text is not valid UTF-8, or a vocabulary is unusable.
class TextError : public Error {
public:
    using Error::Error;
};

/// A checkpoint does not hold the tensors, names or shapes that a model needs.
class CheckpointError : public Error {
public:
    using Error::Error;
};

/// A model configuration is inconsistent, or its sizes were not compiled in.
class ConfigError : public Error {
public:
    using Error::Error;
};

/// A caller passed a value outside its documented range, or shapes that do not fit together.
class ArgumentError : public Error {
public:
    using Error::Error;
};

/// An accelerator or one of its libraries reported a failure, or the processor is older than the
/// build.
class DeviceError : public Error {
public:
    using Error::Error;
};

namespace detail {

/// One part of a text, whatever its type: what writes them is compiled once, not for every list of
/// types.
class JoinPart {
public:
    template <class T>
    explicit JoinPart(T const& part) {
        static_assert(!std::is_function_v<T>, "join takes no manipulators such as std::hex");
        using Plain = std::decay_t<T>;
        if constexpr (std::is_same_v<Plain, char const*> || std::is_same_v<Plain, char*> ||
                      std::is_same_v<Plain, std::string> ||
                      std::is_same_v<Plain, std::string_view>) {
            text_ = part;
        } else {
            value_ = &part;
            write_ = [](std::ostream& out, void const* value) {
                out << *static_cast<T const*>(value);
            };
        }
    }

    void write(std::ostream& out) const {
        if (write_)
            write_(out, value_);
        else
            out << text_;
    }

private:
    std::string_view text_{};
    void const* value_ = nullptr;
    void (*write_)(std::ostream&, void const*) = nullptr;
};

inline std::string join_parts(std::initializer_list<JoinPart> parts) {
    std::ostringstream text;
    for (auto const& part : parts)
        part.write(text);
    return text.str();
}

} // namespace detail

/// The parts written one after another, as `operator<<` writes them.
template <class... Parts>
std::string join(Parts const&... parts) {
    return detail::join_parts({detail::JoinPart(parts)...});
}

} // namespace blip
