#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

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

/// The parts written one after another, as `operator<<` writes them.
template <class... Parts>
std::string join(Parts const&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    return text.str();
}

} // namespace blip
