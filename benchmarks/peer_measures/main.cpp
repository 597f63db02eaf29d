// Prints what this library takes for the measures that benchmarks/peers runs on PyTorch: one JSON
// object a line, each measure in a process of its own.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <iostream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <blip/core/error.hpp>

#include "peer_measures/measures.hpp"
#include "support/process.hpp"

namespace {

using namespace blip::bench;

Measures all_measures() {
    auto all = caption_measures();
    for (auto& measure : variant_measures())
        all.push_back(std::move(measure));
    return all;
}

Measures const measures = all_measures();
constexpr char const* cold_start = "cold_start_caption";

double rounded(double value, double unit) {
    return std::round(value / unit) * unit;
}

void print_line(std::string const& name, Arguments const& a, std::vector<double> seconds, int items,
                long peak, double own, double others, json detail) {
    auto sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    auto const n = sorted.size();
    double const median = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    double const wall = std::accumulate(sorted.begin(), sorted.end(), 0.0);
    std::time_t const now = std::time(nullptr);
    char time[32];
    std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    for (auto& s : seconds)
        s = rounded(s, 1e-5);
    json const line{{"measure", name},
                    {"system", "this-library-cpu-float32"},
                    {"min", rounded(sorted.front(), 1e-5)},
                    {"median", rounded(median, 1e-5)},
                    {"max", rounded(sorted.back(), 1e-5)},
                    {"runs", n},
                    {"items_per_call", items},
                    {"items_per_second", rounded(items / median, 1e-3)},
                    {"threads", a.threads},
                    {"peak_rss_mib", peak},
                    {"cpu_per_wall", rounded(own / wall, 0.01)},
                    {"other_cpu_per_wall", rounded(std::max(0.0, others) / wall, 0.01)},
                    {"seconds", seconds},
                    {"detail", std::move(detail)},
                    {"versions", {{"compiler", __VERSION__}, {"lanes", blip::cpu::lanes}}},
                    {"cpu", describe_cpu()},
                    {"isa_limits", json::object()},
                    {"time", time}};
    std::cout << line.dump() << std::endl;
}

/// The first call (packing, first touch of memory) is reported but not counted.
void run(std::string const& name, Work work, Arguments const& a, double setup) {
    auto const first = Clock::now();
    work.call();
    work.detail["setup_and_first_call_s"] = rounded(setup + seconds_since(first), 0.01);
    reset_peak();
    double const busy = busy_seconds();
    double const own = own_seconds();
    std::vector<double> seconds;
    for (int i = 0; i < (a.calls > 0 ? a.calls : work.calls); ++i) {
        auto const start = Clock::now();
        work.call();
        seconds.push_back(seconds_since(start));
    }
    double const used = own_seconds() - own;
    print_line(name, a, seconds, work.items, peak_mib(), used, busy_seconds() - busy - used,
               work.detail);
}

/// Runs `caption_once` in fresh processes and times them from outside; the page cache is warm.
void measure_cold_start(Arguments const& a) {
    std::vector<double> seconds;
    json parts = json::array();
    double own = 0, others = 0;
    long peak = 0;
    std::string const photo = list_photos(a.photos).front();
    int const calls = a.calls > 0 ? a.calls : 4;
    for (int i = 0; i <= calls; ++i) {
        int channel[2];
        if (pipe(channel) != 0)
            throw blip::Error("cannot make a pipe");
        double const busy = busy_seconds();
        auto const start = Clock::now();
        pid_t const child = fork();
        if (child == 0) {
            dup2(channel[1], STDOUT_FILENO);
            dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
            std::string const threads = std::to_string(a.threads);
            execl("/proc/self/exe", "peer_measures", "--models", a.models.c_str(), "--threads",
                  threads.c_str(), "--once", photo.c_str(), static_cast<char*>(nullptr));
            _exit(127);
        }
        close(channel[1]);
        char text[256]{};
        auto const count = read(channel[0], text, sizeof text - 1);
        close(channel[0]);
        int status = 0;
        rusage usage{};
        wait4(child, &status, 0, &usage);
        double const passed = seconds_since(start);
        if (status != 0 || count <= 0)
            throw blip::Error("the program that captions one photo failed");
        if (i == 0)
            continue; // fills the page cache
        char* rest = text;
        double const load_part = std::strtod(text, &rest);
        parts.push_back({rounded(load_part, 1e-3), rounded(std::strtod(rest, nullptr), 1e-3)});
        double const used = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
        seconds.push_back(passed);
        own += used;
        others += busy_seconds() - busy - used;
        peak = std::max(peak, usage.ru_maxrss / 1024);
    }
    print_line(cold_start, a, seconds, 1, peak, own, others,
               {{"parts_load_caption", parts}, {"page_cache", "warm"}});
}

void measure(std::string const& name, Arguments const& a) {
    if (name == cold_start)
        return measure_cold_start(a);
    for (auto const& [known, make] : measures)
        if (known == name) {
            auto const start = Clock::now();
            auto work = make(a);
            return run(name, std::move(work), a, seconds_since(start));
        }
    throw blip::ArgumentError(blip::join("there is no measure \"", name, "\"; see --help"));
}

} // namespace

int main(int count, char** values) {
    Arguments a;
    std::string known;
    for (auto const& [name, make] : measures) {
        a.measures.push_back(name);
        known += name + ", ";
    }
    a.measures.push_back(cold_start);
    CLI::App app("Times this library on the measures of benchmarks/peers");
    app.add_option("--models", a.models,
                   "folder with caption_base, caption_base_224, caption_large")
        ->required();
    app.add_option("--photos", a.photos, "folder of JPEG files; the first 16 are used");
    app.add_option("--measures", a.measures, "comma-separated: " + known + cold_start)
        ->delimiter(',');
    app.add_option("--threads", a.threads, "threads that compute")->capture_default_str();
    app.add_option("--calls", a.calls, "counted calls of each measure (default: as the measure)");
    app.add_option("--once", a.once, "caption this photo, print the seconds taken, and exit");
    CLI11_PARSE(app, count, values);
    try {
        if (!a.once.empty()) {
            caption_once(a);
            return 0;
        }
        int failed = 0;
        for (auto const& name : a.measures) {
            // A process of its own, so that each peak memory is the measure's.
            pid_t const child = fork();
            if (child == 0) {
                try {
                    measure(name, a);
                    std::exit(0);
                } catch (std::exception const& error) {
                    std::cerr << name << ": " << error.what() << '\n';
                    std::exit(1);
                }
            }
            int status = 1;
            waitpid(child, &status, 0);
            failed += status != 0;
        }
        return failed == 0 ? 0 : 1;
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 2;
    }
}
