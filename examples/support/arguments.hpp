#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>

#include <blip/core/error.hpp>

namespace support {

/// How programs end: all went well, some inputs were broken, or nothing could be done.
enum ExitStatus { success = 0, some_failed = 1, unusable = 2 };

/// The command line does not make sense.
class UsageError : public blip::ArgumentError {
public:
    using ArgumentError::ArgumentError;
};

/// Parses the command line; a status when the program is to end (after --help or a mistake).
inline int const* parse_arguments(CLI::App& app, int count, char** arguments) {
    static int status = success;
    try {
        app.parse(count, arguments);
        return nullptr;
    } catch (CLI::ParseError const& end) {
        status = app.exit(end) == 0 ? success : unusable;
        return &status;
    }
}

/// Runs `body()`, which returns the exit status; what it throws becomes one message and the status
/// for it.
template <class Body>
int run_program(std::string const& name, Body const& body) {
    std::string problem;
    try {
        return body();
    } catch (UsageError const& error) {
        problem = blip::join(error.what(), "\nRun `", name, " --help` for all options");
    } catch (std::bad_alloc const&) {
        problem = "not enough memory; try a smaller --batch";
    } catch (std::exception const& error) {
        problem = error.what();
    }
    std::fprintf(stderr, "%s: %s\n", name.c_str(), problem.c_str());
    return unusable;
}

/// Workers that prepare inputs for a model that computes with `threads` threads (0: all).
inline std::size_t preparing_threads(std::size_t threads) {
    std::size_t const all = threads > 0 ? threads : std::thread::hardware_concurrency();
    return std::clamp<std::size_t>(all / 4, 1, 8);
}

} // namespace support
