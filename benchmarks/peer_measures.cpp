// Prints what this library takes for the measures that benchmarks/peers runs on PyTorch: one JSON
// object a line, each measure in a process of its own.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/config/presets.hpp>
#include <blip/core/random.hpp>
#include <blip/models/captioner.hpp>
#include <blip/vision/read_image.hpp>

#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using B = blip::Cpu<float>;

struct Arguments {
    fs::path models;
    fs::path photos;
    std::vector<std::string> measures;
    std::size_t threads = 2;
    int calls = 0;
    fs::path once;
};

/// One measure, ready to be timed.
struct Work {
    std::function<void()> call;
    int items = 1;
    int calls = 8;
    json detail = json::object();
};

std::vector<fs::path> list_photos(fs::path const& folder) {
    std::vector<fs::path> found;
    for (auto const& entry : fs::directory_iterator(folder))
        if (auto const suffix = entry.path().extension(); suffix == ".jpg" || suffix == ".jpeg")
            found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    if (found.empty())
        throw blip::FileError(blip::join(folder.string(), ": no .jpg files here"));
    return found;
}

/// Normally distributed pictures [count, 3, size, size].
blip::Pixels make_pixels(std::size_t count, std::size_t size) {
    blip::Pixels pixels(blip::Pixels::shape_type{count, 3, size, size});
    blip::RandomKey const key{7, 0};
    for (std::size_t i = 0; i < pixels.size(); i += 2) {
        double const radius = std::sqrt(-2 * std::log(1 - random_uniform(key, i)));
        double const angle = 2 * std::numbers::pi * random_uniform(key, i + 1);
        pixels.data()[i] = static_cast<float>(radius * std::cos(angle));
        pixels.data()[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
    return pixels;
}

template <class C>
auto load(Arguments const& a, char const* folder) {
    using Captioner = blip::Captioner<C, B>;
    return std::make_shared<Captioner const>(
        Captioner::load(a.models / folder, {.engine = B::Engine(a.threads)}));
}

/// 20 new tokens whatever the model thinks: the end token is banned until the length limit.
blip::CaptionOptions forced(int beams) {
    blip::CaptionOptions options;
    options.prompt = "";
    options.beams = beams;
    options.max_new_tokens = 20;
    options.min_length = 1000;
    return options;
}

void require_tokens(blip::Caption const& caption) {
    if (caption.token_log_probabilities.size() != 20)
        throw blip::Error(
            blip::join("expected 20 new tokens, found ", caption.token_log_probabilities.size()));
}

Work preprocess_384(Arguments const& a) {
    auto const path = list_photos(a.photos).front();
    return {[path] { (void)blip::preprocess(blip::read_image(path)); },
            1,
            48,
            {{"photo", path.filename().string()}}};
}

template <class C>
Work vision(Arguments const& a, char const* folder, std::size_t batch) {
    auto const model = load<C>(a, folder);
    auto const pixels = make_pixels(batch, C::vision::image);
    return {[=] { (void)model->encode(pixels); },
            static_cast<int>(batch),
            batch > 1 ? 4 : 8,
            {{"shape", pixels.shape()}}};
}

Work caption(Arguments const& a, int beams) {
    auto const model = load<blip::config::caption_base>(a, "caption_base");
    auto const pixels = make_pixels(1, 384);
    return {[=] { require_tokens(model->generate(pixels, forced(beams)).front().front()); },
            1,
            8,
            {{"decoding_steps", 20}, {"beams", beams}}};
}

Work caption_from_jpeg(Arguments const& a) {
    auto const model = load<blip::config::caption_base>(a, "caption_base");
    auto const path = list_photos(a.photos).front();
    return {[=] { require_tokens(model->generate(blip::read_image(path), forced(1)).front()); },
            1,
            8,
            {{"photo", path.filename().string()}}};
}

Work caption_folder(Arguments const& a) {
    auto const model = load<blip::config::caption_base>(a, "caption_base");
    auto const photos = list_photos(a.photos);
    auto const run = [=] {
        std::size_t next = 0;
        for (int batch = 0; batch < 2; ++batch) {
            std::vector<blip::Image> images;
            for (int i = 0; i < 8; ++i)
                images.push_back(blip::read_image(photos[next++ % photos.size()]));
            for (auto const& captions : model->generate(images, forced(3)))
                require_tokens(captions.front());
        }
    };
    return {run, 16, 2, {{"photos", 16}, {"batch", 8}}};
}

/// Forward and backward of captioner fine-tuning; gradients are cleared, weights stay as they are.
template <class C>
class TrainingStep {
public:
    using Network = blip::CaptionerNetwork<C, B>;

    TrainingStep(Arguments const& a, char const* name, int batch)
        : engine_(a.threads), weights_(engine_), gradient_(engine_), batch_(batch),
          pixels_(make_pixels(static_cast<std::size_t>(batch), C::vision::image)) {
        auto const folder = blip::ModelFolder::open(a.models / name);
        load_weights(weights_, engine_, folder.weights);
        auto settings = folder.settings;
        settings.hidden_dropout = settings.attention_dropout = 0.1;
        apply_settings(*weights_, settings);
        for (int row = 0; row < batch; ++row)
            for (int i = 0; i < length; ++i) {
                int const word = 1000 + row * (length - 2) + i - 1;
                ids_.push_back(i == 0 ? 30522 : i == length - 1 ? 102 : word);
                positions_.push_back(i);
                labels_.push_back(i < 4 ? blip::ignored_target : ids_.back());
            }
    }

    void operator()() {
        blip::Context<B> context{.engine = engine_,
                                 .arena = arena_,
                                 .mode = blip::Mode::train,
                                 .random = blip::split({1, 0}, step_++)};
        blip::Scope scope(arena_);
        gradient_.zero(engine_);
        typename Network::Cache cache;
        double const loss = weights_->loss(
            {pixels_.data(), batch_}, {ids_.data(), positions_.data(), nullptr, batch_, length},
            labels_, {.smoothing = 0.1}, cache, context);
        if (!std::isfinite(loss))
            throw blip::Error("the loss is not finite");
        weights_->backward(cache, *gradient_, context);
    }

private:
    static constexpr int length = 35;
    B::Engine engine_;
    blip::Arena<B> arena_;
    blip::Weights<Network> weights_;
    blip::Weights<typename Network::Grad> gradient_;
    int batch_;
    blip::Pixels pixels_;
    std::vector<int> ids_, positions_, labels_;
    std::uint64_t step_ = 0;
};

template <class C>
Work train(Arguments const& a, char const* folder, int batch) {
    auto const step = std::make_shared<TrainingStep<C>>(a, folder, batch);
    return {[=] { (*step)(); },
            batch,
            4,
            {{"text_tokens", 35}, {"dropout", 0.1}, {"optimizer", "none: forward and backward"}}};
}

using namespace blip::config;

std::vector<std::pair<std::string, std::function<Work(Arguments const&)>>> const measures{
    {"preprocess_384", preprocess_384},
    {"vision_base_384_batch1",
     [](Arguments const& a) { return vision<caption_base>(a, "caption_base", 1); }},
    {"vision_base_384_batch8",
     [](Arguments const& a) { return vision<caption_base>(a, "caption_base", 8); }},
    {"caption_greedy_20", [](Arguments const& a) { return caption(a, 1); }},
    {"caption_greedy_20_from_jpeg", caption_from_jpeg},
    {"caption_beam3_20", [](Arguments const& a) { return caption(a, 3); }},
    {"caption_folder16_batch8_beam3_20", caption_folder},
    {"train_caption_224_batch4",
     [](Arguments const& a) { return train<base<224>>(a, "caption_base_224", 4); }},
    {"train_caption_384_batch2",
     [](Arguments const& a) { return train<caption_base>(a, "caption_base", 2); }},
    {"vision_large_384_batch1",
     [](Arguments const& a) { return vision<caption_large>(a, "caption_large", 1); }},
};
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
                    {"cpu", blip::bench::describe_cpu()},
                    {"isa_limits", json::object()},
                    {"time", time}};
    std::cout << line.dump() << std::endl;
}

/// The first call (packing, first touch of memory) is reported but not counted.
void run(std::string const& name, Work work, Arguments const& a, double setup) {
    auto const first = blip::bench::Clock::now();
    work.call();
    work.detail["setup_and_first_call_s"] =
        rounded(setup + blip::bench::seconds_since(first), 0.01);
    blip::bench::reset_peak();
    double const busy = blip::bench::busy_seconds();
    double const own = blip::bench::own_seconds();
    std::vector<double> seconds;
    for (int i = 0; i < (a.calls > 0 ? a.calls : work.calls); ++i) {
        auto const start = blip::bench::Clock::now();
        work.call();
        seconds.push_back(blip::bench::seconds_since(start));
    }
    double const used = blip::bench::own_seconds() - own;
    print_line(name, a, seconds, work.items, blip::bench::peak_mib(), used,
               blip::bench::busy_seconds() - busy - used, work.detail);
}

/// What a user's program does: loads, captions one photo, prints.
void caption_once(Arguments const& a) {
    auto const start = blip::bench::Clock::now();
    auto const model = load<caption_base>(a, "caption_base");
    double const loaded = blip::bench::seconds_since(start);
    auto const captions = model->generate(blip::read_image(a.once), forced(1));
    std::cerr << captions.front().text << '\n';
    std::cout << loaded << ' ' << blip::bench::seconds_since(start) - loaded << '\n';
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
        double const busy = blip::bench::busy_seconds();
        auto const start = blip::bench::Clock::now();
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
        double const passed = blip::bench::seconds_since(start);
        if (status != 0 || count <= 0)
            throw blip::Error("the program that captions one photo failed");
        if (i == 0)
            continue; // fills the page cache
        char* rest = text;
        double const load_part = std::strtod(text, &rest);
        parts.push_back({rounded(load_part, 1e-3), rounded(std::strtod(rest, nullptr), 1e-3)});
        double const used =
            blip::bench::seconds_of(usage.ru_utime) + blip::bench::seconds_of(usage.ru_stime);
        seconds.push_back(passed);
        own += used;
        others += blip::bench::busy_seconds() - busy - used;
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
            auto const start = blip::bench::Clock::now();
            auto work = make(a);
            return run(name, std::move(work), a, blip::bench::seconds_since(start));
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
