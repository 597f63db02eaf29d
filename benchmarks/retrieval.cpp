// Search in 100,000 made-up vectors of 256 numbers, and ranking of 16 pictures again.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <blip/config/presets.hpp>
#include <blip/core/random.hpp>
#include <blip/models/approximate_index.hpp>
#include <blip/models/retriever.hpp>
#include <blip/text/bert_base_uncased.hpp>

#include "kernels_support.hpp"
#include "support/process.hpp"
#include "support/small_weights.hpp"

#if BLIP_HAS_FAISS
#include <omp.h>
#endif

using namespace blip;
using namespace blip::bench;

namespace {

constexpr std::size_t rows = 100'000, width = 256;

/// Where files of this run go.
struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / join("blip_retrieval_", std::random_device{}());
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

Folder const& folder() {
    static Folder const made;
    return made;
}

/// Unit vectors. `spread` 0.5: around 1000 centres, a cosine of about 0.8 with them, as features of
/// pictures lie together; a large one: all over the sphere, the worst case of every approximation.
std::vector<float> vectors(std::size_t first, std::size_t count, double spread) {
    std::vector<float> values(count * width);
    for (std::size_t r = 0; r < count; ++r) {
        auto const row = static_cast<std::uint64_t>(first + r);
        float* const out = values.data() + r * width;
        double sum = 0;
        for (std::size_t k = 0; k < width; ++k) {
            double const centre = random_uniform({1, row % 1000}, k) - 0.5;
            double const own = random_uniform({2, row}, k) - 0.5;
            out[k] = static_cast<float>(centre + 1.5 * spread * own);
            sum += std::pow(out[k], 2);
        }
        for (std::size_t k = 0; k < width; ++k)
            out[k] /= static_cast<float>(std::sqrt(sum));
    }
    return values;
}

std::filesystem::path index_file(double spread) {
    auto const path = folder().path / join("index", spread);
    if (!std::filesystem::exists(path)) {
        RowFileWriter writer(path, {.width = width, .model = 1});
        for (std::size_t first = 0; first < rows; first += 10'000) {
            std::vector<std::string> labels;
            for (std::size_t i = first; i < first + 10'000; ++i)
                labels.push_back("photos/2022/" + std::to_string(i) + ".jpg");
            writer.append(std::span<float const>(vectors(first, 10'000, spread)), labels);
        }
    }
    return path;
}

VectorIndex const& index_of(double spread) {
    static VectorIndex const near = VectorIndex::open(index_file(0.5));
    static VectorIndex const far = VectorIndex::open(index_file(100));
    return spread < 1 ? near : far;
}

double file_mb(std::filesystem::path const& path) {
    return static_cast<double>(std::filesystem::file_size(path)) / 1e6;
}

void exact(benchmark::State& state) {
    auto const& index = index_of(0.5);
    auto const count = static_cast<std::size_t>(state.range(0));
    auto const queries = vectors(1'000'000, count, 0.5);
    for (auto _ : state)
        benchmark::DoNotOptimize(
            index.search(queries, 10, static_cast<std::size_t>(state.range(1))));
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(rows * width * 4));
    state.counters["index_MB"] = file_mb(index_file(0.5));
}
BENCHMARK(exact)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->ArgNames({"queries", "threads"})
    ->ArgsProduct({{1, 16}, {1, 2}});

void open_mapped(benchmark::State& state) {
    auto const path = index_file(0.5);
    for (auto _ : state)
        benchmark::DoNotOptimize(VectorIndex::open(path).size());
}
BENCHMARK(open_mapped)->UseRealTime()->Unit(benchmark::kMillisecond);

void load_into_memory(benchmark::State& state) {
    auto const path = index_file(0.5);
    reset_peak();
    long const before = peak_mib();
    for (auto _ : state)
        benchmark::DoNotOptimize(VectorIndex::load(path).size());
    state.counters["more_MiB"] = static_cast<double>(peak_mib() - before);
}
BENCHMARK(load_into_memory)->UseRealTime()->Unit(benchmark::kMillisecond);

#if BLIP_HAS_FAISS
struct Cells {
    std::unique_ptr<ApproximateIndex> index;
    double build_seconds = 0;
    double file = 0;
    long memory = 0;
};

Cells const& cells_of(double spread) {
    static auto const make = [](double s) {
        auto const& index = index_of(s);
        auto const queries = vectors(2'000'000, 256, s);
        reset_peak();
        long const before = peak_mib();
        double const start = seconds();
        Cells cells{std::make_unique<ApproximateIndex>(
            ApproximateIndex::build(index, {.recall = 0.95, .top = 10, .queries = queries}))};
        cells.build_seconds = seconds() - start;
        cells.memory = peak_mib() - before;
        auto const path = folder().path / join("cells", s);
        cells.index->save(path);
        cells.file = file_mb(path);
        return cells;
    };
    static Cells const near = make(0.5);
    if (spread < 1)
        return near;
    static Cells const far = make(100);
    return far;
}

/// `spread`: 0 near centres, 1 all over the sphere.
void cells(benchmark::State& state) {
    double const spread = state.range(2) == 0 ? 0.5 : 100;
    auto const& built = cells_of(spread);
    auto const count = static_cast<std::size_t>(state.range(0));
    auto const queries = vectors(1'000'000, count, spread);
    omp_set_num_threads(static_cast<int>(state.range(1)));
    for (auto _ : state)
        benchmark::DoNotOptimize(built.index->search(queries, 10, 1));
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.counters["recall"] = built.index->measured_recall();
    state.counters["lists"] = static_cast<double>(built.index->lists());
    state.counters["probes"] = static_cast<double>(built.index->probes());
    state.counters["build_s"] = built.build_seconds;
    state.counters["file_MB"] = built.file;
    state.counters["build_MiB"] = static_cast<double>(built.memory);
}
BENCHMARK(cells)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->ArgNames({"queries", "threads", "spread"})
    ->Args({1, 1, 0})
    ->Args({16, 1, 0})
    ->Args({16, 2, 0})
    ->Args({1, 1, 1})
    ->Args({16, 2, 1});
#endif

// --- Ranking again
// ---------------------------------------------------------------------------------

using Model = Retriever<config::base<384>, Cpu<float>>;

Model const& retriever() {
    static Model const model(std::make_shared<LoadedModel<Model::Network>>(
        small_weights<Model::Network>(engine()), ModelSettings{}, Tokenizer(bert_base_uncased()),
        Preprocess{}, engine()));
    return model;
}

Image picture(std::size_t number) {
    Image image(Image::shape_type{384, 384, 3});
    for (std::size_t i = 0; i < image.size(); ++i)
        image.data()[i] = static_cast<std::uint8_t>((i * 7919 + number * 104729) % 251);
    return image;
}

struct Ranked {
    VectorIndex index;
    StoredStates states;
    std::vector<Hit> hits;
    double file;
};

std::string const question = "a woman sitting on the beach with a dog";

Ranked const& ranked() {
    static Ranked const made = [] {
        auto const path = folder().path / "states";
        auto index = retriever().make_index();
        {
            StateWriter writer(path, retriever().state_layout());
            std::vector<LabelledImage> pictures;
            for (std::size_t i = 0; i < 16; ++i)
                pictures.push_back({picture(i), std::to_string(i)});
            retriever().add(index, pictures, 4, &writer);
        }
        auto hits = retriever().query(index, question, 16);
        return Ranked{std::move(index), retriever().open_states(path), std::move(hits),
                      file_mb(path)};
    }();
    return made;
}

void rerank_16_from_states(benchmark::State& state) {
    auto const& all = ranked();
    for (auto _ : state)
        benchmark::DoNotOptimize(retriever().rerank(question, all.hits, all.states));
    state.counters["MB_a_picture"] = all.file / 16;
}
BENCHMARK(rerank_16_from_states)->UseRealTime()->Unit(benchmark::kMillisecond);

void rerank_16_from_pictures(benchmark::State& state) {
    auto const& all = ranked();
    for (auto _ : state)
        benchmark::DoNotOptimize(retriever().rerank(question, all.hits, [](Hit const& hit) {
            return picture(static_cast<std::size_t>(hit.row));
        }));
}
BENCHMARK(rerank_16_from_pictures)->UseRealTime()->Unit(benchmark::kMillisecond);

} // namespace
