#pragma once

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace blip::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Starts counting the peak resident set anew. Linux only; elsewhere the peak is the process's.
inline void reset_peak() {
    std::ofstream("/proc/self/clear_refs") << 5;
}

/// Largest resident set since `reset_peak`, in MiB; 0 where the system does not say.
inline long peak_mib() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line))
        if (line.starts_with("VmHWM:"))
            return std::strtol(line.c_str() + 6, nullptr, 10) / 1024;
    return 0;
}

inline double seconds_of(timeval t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
}

/// Processor seconds of this process so far.
inline double own_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

/// Processor seconds of the whole machine so far, to see whether others were running.
inline double busy_seconds() {
    std::ifstream stat("/proc/stat");
    std::string cpu;
    double user = 0, nice = 0, system = 0;
    stat >> cpu >> user >> nice >> system;
    return (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// Name and numbers of the processor, and its vector extensions that matter for products.
inline nlohmann::json describe_cpu() {
    nlohmann::json cpu;
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    std::vector<std::string> found;
    while (std::getline(info, line) && !line.empty()) {
        auto const colon = line.find(':');
        auto const end = line.find_last_not_of(" \t", colon - 1);
        std::string const key = line.substr(0, end + 1);
        std::string const value = colon + 2 < line.size() ? line.substr(colon + 2) : "";
        if (key == "model name" || key == "cpu family" || key == "model")
            cpu[key] = value;
        if (key != "flags")
            continue;
        std::istringstream flags(value);
        for (std::string flag; flags >> flag;)
            for (std::string_view wanted : {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16",
                                            "avx_vnni", "amx_tile", "amx_bf16"})
                if (flag == wanted)
                    found.push_back(flag);
    }
    cpu["vector"] = found;
    cpu["cores"] = std::thread::hardware_concurrency();
    return cpu;
}

} // namespace blip::bench
