#pragma once

#include <atomic>
#include <csignal>

namespace support {

namespace detail {
inline std::atomic<int> caught_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may not take locks");

extern "C" inline void note_signal(int number) {
    caught_signal = number;
    std::signal(number, SIG_DFL);
}
} // namespace detail

/// Turns Ctrl-C and a polite kill into a request to finish what is under way. The second one ends
/// the program at once.
inline void catch_interrupts() {
    std::signal(SIGINT, detail::note_signal);
    std::signal(SIGTERM, detail::note_signal);
}

/// The signal that asked to stop; 0 while none did.
inline int interrupted_by() {
    return detail::caught_signal;
}

/// Exit status of a program that a signal ended, as shells count it.
inline int interrupt_status() {
    return 128 + interrupted_by();
}

} // namespace support
