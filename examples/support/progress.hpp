#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#if __has_include(<unistd.h>) && __has_include(<sys/ioctl.h>)
#include <sys/ioctl.h>
#include <unistd.h>
#define BLIP_PROGRAM_HAS_TERMINAL 1
#else
#define BLIP_PROGRAM_HAS_TERMINAL 0
#endif

namespace support {

/// Whether a person watches `stream`.
inline bool is_terminal(std::FILE* stream) {
#if BLIP_PROGRAM_HAS_TERMINAL
    return ::isatty(::fileno(stream)) == 1;
#else
    static_cast<void>(stream);
    return false;
#endif
}

namespace detail {
inline std::size_t terminal_width() {
#if BLIP_PROGRAM_HAS_TERMINAL
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
#endif
    return 80;
}
} // namespace detail

/// "1:02:03", or "2:03" below an hour.
inline std::string duration_text(double seconds) {
    auto const whole = static_cast<long long>(std::lround(std::clamp(seconds, 0.0, 1e9)));
    char text[40];
    if (whole >= 3600)
        std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                      whole % 60);
    else
        std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
    return text;
}

/// What a progress line tells.
struct ProgressState {
    std::uint64_t done = 0;    ///< of the whole work
    std::uint64_t earlier = 0; ///< of these, done by a run that is being continued
    std::optional<std::uint64_t> total;
    double seconds = 0; ///< since this run began
};

/// The line for people, at most `width` characters: bar, counts, rate and time left as far as they
/// are known.
inline std::string progress_line(ProgressState const& state, std::size_t width) {
    auto const fresh = static_cast<double>(state.done - state.earlier);
    double const rate = state.seconds > 0 ? fresh / state.seconds : 0;
    std::string text = std::to_string(state.done);
    if (state.total)
        text += "/" + std::to_string(*state.total);
    if (rate > 0) {
        char number[40];
        std::snprintf(number, sizeof number, rate < 10 ? "  %.2f/s" : "  %.0f/s", rate);
        text += number;
        if (state.total && *state.total >= state.done)
            text += "  " + duration_text(static_cast<double>(*state.total - state.done) / rate) +
                    " left";
    }
    if (state.total && *state.total > 0 && width > text.size() + 14) {
        double const share =
            std::min(1.0, static_cast<double>(state.done) / static_cast<double>(*state.total));
        std::size_t const cells = std::min<std::size_t>(30, width - text.size() - 4);
        auto const full = static_cast<std::size_t>(share * static_cast<double>(cells));
        text = "[" + std::string(full, '=') + std::string(cells - full, ' ') + "] " + text;
    }
    return text.substr(0, width);
}

/// A progress line on standard error, shown on a terminal only.
class Progress {
public:
    explicit Progress(bool shown = is_terminal(stderr)) : shown_(shown) {}
    Progress(Progress const&) = delete;
    Progress& operator=(Progress const&) = delete;
    ~Progress() { clear(); }

    bool is_shown() const { return shown_; }

    /// May be called by another thread.
    void set_total(std::uint64_t total) {
        total_ = total;
        knows_total_ = true;
    }

    void continue_from(std::uint64_t done) { done_ = earlier_ = done; }

    void advance(std::uint64_t count) {
        done_ += count;
        constexpr double pause = 0.05;
        if (drawn_ && elapsed() - last_drawn_ < pause)
            return;
        draw();
    }

    /// Takes the line off the screen so that something else can be printed.
    void clear() {
        if (drawn_)
            std::fputs("\r\x1b[K", stderr);
        drawn_ = false;
    }

    void draw() {
        if (!shown_)
            return;
        ProgressState state{.done = done_, .earlier = earlier_, .total = {}, .seconds = elapsed()};
        if (knows_total_)
            state.total = total_;
        auto const line = progress_line(state, detail::terminal_width() - 1);
        std::fprintf(stderr, "\r%s\x1b[K", line.c_str());
        std::fflush(stderr);
        drawn_ = true;
        last_drawn_ = state.seconds;
    }

    /// Prints one line to standard error, above the progress line.
    void message(std::string_view line) {
        bool const again = drawn_;
        clear();
        std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
        if (again)
            draw();
    }

private:
    double elapsed() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

    bool shown_;
    bool drawn_ = false;
    double last_drawn_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t earlier_ = 0;
    std::atomic<std::uint64_t> total_{0};
    std::atomic<bool> knows_total_{false};
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

} // namespace support
