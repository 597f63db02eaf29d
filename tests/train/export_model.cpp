#include <support/catch.hpp>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/io/half.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/models/pretrainer.hpp>
#include <blip/networks/answer_network.hpp>
#include <blip/networks/captioner_network.hpp>
#include <blip/networks/matching_network.hpp>
#include <blip/networks/pair_network.hpp>
#include <blip/networks/retrieval_network.hpp>
#include <blip/train/export_model.hpp>
#include <io/files.hpp>
#include <support/golden.hpp>
#include <support/random_weights.hpp>

namespace {

using namespace blip;
using B = Cpu<float>;
namespace fs = std::filesystem;

template <class Network>
std::shared_ptr<LoadedModel<Network>> load(fs::path const& path) {
    return LoadedModel<Network>::load(ModelFolder::open(path),
                                      {.layout = Layout::rows, .engine = B::Engine(1)});
}

template <class Network>
std::vector<double> values(LoadedModel<Network>& model) {
    return test::parameter_values(model.weights, model.engine);
}

/// Shape and element type of every tensor.
std::map<std::string, std::pair<std::vector<std::int64_t>, DataType>>
tensors_of(fs::path const& path) {
    std::map<std::string, std::pair<std::vector<std::int64_t>, DataType>> tensors;
    auto const file = TensorFile::open(path);
    for (auto const& tensor : file.tensors())
        tensors[tensor.name] = {tensor.shape, tensor.type};
    return tensors;
}

/// What belongs to training in a checkpoint of the authors: momentum networks and queues.
void remove_training_tensors(auto& tensors) {
    std::erase_if(tensors, [](auto const& entry) {
        auto const& name = entry.first;
        return name.find("_m.") != name.npos || name.ends_with("queue") ||
               name.starts_with("queue") || name.starts_with("ptr_");
    });
}

std::vector<double> rounded_to_half(std::vector<double> numbers) {
    for (double& x : numbers)
        x = static_cast<double>(half_to_float(float_to_half(static_cast<float>(x))));
    return numbers;
}

/// A folder with the configuration and vocabulary that a file alone lacks.
struct Place {
    explicit Place(fs::path const& source) {
        for (auto const* file : {"config.json", "vocab.txt"})
            fs::copy_file(source / file, folder / file);
    }
    test::TemporaryFolder folder;
};

/// Exports `model` in every way, reads it again, and compares weights to the bit.
template <class Network>
void check_round_trips(LoadedModel<Network>& model, fs::path const& source) {
    auto const exact = values(model);
    auto const halves = rounded_to_half(exact);
    CHECK(exact != halves);
    for (bool const half : {false, true})
        for (std::string const name : {"folder", "model.pth", "model.safetensors"}) {
            INFO(name << (half ? ", float16" : ""));
            Place const place(source);
            SaveOptions options;
            if (half)
                options.floating_type = DataType::f16;
            export_model(model, place.folder / name, options);
            auto again = load<Network>(place.folder / name);
            CHECK(values(*again) == (half ? halves : exact));
            CHECK(again->report.extra.empty());
        }
}

/// The same, and that files have all names of the authors', and no other.
template <class Network>
void check_original(std::string const& name) {
    INFO(name);
    auto const source = test::golden_file(name, "weights.pth");
    auto const model = load<Network>(source);
    check_round_trips(*model, source.parent_path());
    auto expected = tensors_of(source);
    remove_training_tensors(expected);
    test::TemporaryFolder folder;
    for (auto const* file : {"model.pth", "model.safetensors"}) {
        export_model(*model, folder / file);
        CHECK(tensors_of(folder / file) == expected);
    }
}

/// The same for a folder of the port.
template <class Network>
void check_port(std::string const& name) {
    INFO(name);
    auto const source = test::golden_file(name, "model");
    auto const model = load<Network>(source);
    check_round_trips(*model, source);
    test::TemporaryFolder folder;
    export_model(*model, folder / "saved", {.floating_type = DataType::f16});
    auto const config = JsonDocument::open(folder / "saved" / "config.json");
    CHECK(config.required<std::string>("torch_dtype") == "float16");
    auto expected = tensors_of(source / "model.safetensors");
    auto const saved = tensors_of(folder / "saved" / "model.safetensors");
    for (auto& [tensor, description] : expected)
        description.second = DataType::f16;
    CHECK(saved == expected);
}

} // namespace

#if BLIP_HAS_GOLDEN_CAPTIONER_TRAIN
TEST_CASE("a captioner is exported for every reader", "[golden]") {
    check_original<CaptionerNetwork<config::golden_captioner_train, B>>("captioner_train");
}
#endif
#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("a question answerer is exported for every reader", "[golden]") {
    check_original<AnswerNetwork<config::golden_vqa, B>>("vqa");
}
#endif
#if BLIP_HAS_GOLDEN_ITM
TEST_CASE("a matcher is exported for every reader", "[golden]") {
    check_original<MatchingNetwork<config::golden_itm, B>>("itm");
}
#endif
#if BLIP_HAS_GOLDEN_NLVR
TEST_CASE("a pair reasoner is exported for every reader", "[golden]") {
    check_original<PairNetwork<config::golden_nlvr, B>>("nlvr");
}
#endif
#if BLIP_HAS_GOLDEN_RETRIEVAL_TRAIN
TEST_CASE("a retrieval network is exported for every reader", "[golden]") {
    using Network = RetrievalNetwork<config::golden_retrieval_train, B>;
    auto const source = test::golden_file("retrieval_train", "weights.pth");
    auto const model = load<Network>(source);
    auto expected = tensors_of(source);
    remove_training_tensors(expected);
    test::TemporaryFolder folder;
    export_model(*model, folder / "model.pth");
    CHECK(tensors_of(folder / "model.pth") == expected);
}
#endif
#if BLIP_HAS_GOLDEN_PRETRAIN_TRAIN
TEST_CASE("what pre-training saves has every tensor of the authors' checkpoint", "[golden]") {
    using C = config::golden_pretrain_train;
    auto const source = test::golden_file("pretrain_train", "weights.pth");
    auto const objective = Pretrainer<C, B>::load(source, {.engine = B::Engine(1)});
    test::TemporaryFolder folder;
    for (auto const* file : {"model.pth", "model.safetensors"}) {
        objective.save(folder / file);
        CHECK(tensors_of(folder / file) == tensors_of(source));
    }
    auto expected = tensors_of(source);
    remove_training_tensors(expected);
    export_model(*objective.shared(), folder / "network.pth");
    CHECK(tensors_of(folder / "network.pth") == expected);
}
#endif
#if BLIP_HAS_GOLDEN_HF_CAPTION
TEST_CASE("a captioner of the port is exported as it came", "[golden]") {
    check_port<CaptionerNetwork<config::golden_hf_caption, B>>("hf_caption");
}
#endif
#if BLIP_HAS_GOLDEN_HF_ITM
TEST_CASE("a matcher of the port is exported as it came", "[golden]") {
    check_port<MatchingNetwork<config::golden_hf_itm, B>>("hf_itm");
}
#endif
#if BLIP_HAS_GOLDEN_HF_VQA
TEST_CASE("a question answerer of the port is exported as it came", "[golden]") {
    check_port<AnswerNetwork<config::golden_hf_vqa, B>>("hf_vqa");
}
#endif

TEST_CASE("a weight that float16 cannot hold is an error and leaves no file") {
    test::TemporaryFolder folder;
    std::vector<float> const numbers{1, -65519, 3}, large{1, -65520, 3},
        infinite{1, std::numeric_limits<float>::infinity()};
    SafetensorsOptions const half{.floating_type = DataType::f16};
    auto const write = [&](std::vector<float> const& n) {
        write_safetensors(folder / "file",
                          {output_tensor<float>("w", {static_cast<std::int64_t>(n.size())}, n)},
                          half);
    };
    auto const message = test::message_of<ArgumentError>([&] { write(large); });
    CHECK(test::contains(message, "tensor w holds -65520"));
    CHECK(test::contains(message, "float16"));
    CHECK(fs::is_empty(folder.path()));
    write(infinite);
    write(numbers);
    CHECK(TensorFile::open(folder / "file").at("w").values<float>()[1] == -65504);
}
