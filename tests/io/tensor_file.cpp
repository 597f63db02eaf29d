#include <blip/io/tensor_file.hpp>
#include <blip/io/write_safetensors.hpp>
#include <blip/io/write_torch_pickle.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

using namespace blip;
using namespace blip::test;

namespace {

std::vector<float> const one{1, 2, 3, 4};
std::vector<float> const two{5, 6};

template <class Failure>
std::string open_message(std::filesystem::path const& path) {
    return message_of<Failure>([&] { TensorFile::open(path); });
}

void write_parts(TemporaryFolder const& folder) {
    write_safetensors(folder / "part-1.safetensors", {output_tensor<float>("one", {2, 2}, one)});
    write_safetensors(folder / "part-2.safetensors", {output_tensor<float>("two", {2}, two),
                                                      output_tensor<float>("three", {2}, two)});
}

} // namespace

TEST_CASE("formats are recognised by content, not by name") {
    TemporaryFolder const folder;
    write_safetensors(folder / "a.bin", {output_tensor<float>("one", {2, 2}, one)});
    write_torch_pickle(folder / "b.safetensors", {output_tensor<float>("one", {2, 2}, one)});
    for (auto const* const name : {"a.bin", "b.safetensors"}) {
        auto const file = TensorFile::open(folder / name);
        CHECK(file.at("one").values<float>() == one);
        CHECK(file.at("one").shape == std::vector<std::int64_t>{2, 2});
        CHECK(file.find("two") == nullptr);
        file.will_need(file.at("one"));
        file.release(file.at("one"));
        CHECK(file.at("one").values<float>() == one);
        CHECK(contains(message_of<CheckpointError>([&] { file.at("two"); }), "no tensor \"two\""));
    }
}

TEST_CASE("a checkpoint's state dict is what lies under its key", "[golden]") {
    auto const file = TensorFile::open(golden_file("pickle_torch_1_10", "checkpoint.legacy.pth"));
    REQUIRE(file.find("visual_encoder.pos_embed") != nullptr);
    CHECK(file.find("model/visual_encoder.pos_embed") == nullptr);
    CHECK(file.find("optimizer/state/0/exp_avg") == nullptr);
    auto const plain =
        TensorFile::open(golden_file("pickle_torch_1_10", "module_state_dict.zip.pth"));
    CHECK(plain.find("0.weight") != nullptr);
}

TEST_CASE("files of other kinds are named for what they are") {
    TemporaryFolder const folder;
    auto const message = [&](std::string_view content) {
        write_file(folder / "model.bin", content);
        return open_message<Error>(folder / "model.bin");
    };
    CHECK(
        contains(message("version https://git-lfs.github.com/spec/v1\noid x"), "Git LFS pointer"));
    CHECK(contains(message("<!DOCTYPE html><html></html>"), "web page"));
    CHECK(contains(message("just some text"), "neither"));
    CHECK(contains(message(""), "neither"));
    CHECK(contains(message("{\"architectures\": []}"), "weight_map"));
    CHECK(contains(message("PK\x03\x04 and nothing more"), "damaged zip archive"));
    CHECK(contains(message("\x80\x02N."), "magic number"));
    write_file(folder / "model.safetensors", "short");
    CHECK(contains(open_message<FormatError>(folder / "model.safetensors"), "5 bytes are too few"));
    CHECK_THROWS_AS(TensorFile::open(folder / "missing"), FileError);
    CHECK_THROWS_AS(TensorFile::open(folder.path()), FileError);
}

TEST_CASE("the parts of a split checkpoint are merged") {
    TemporaryFolder const folder;
    write_parts(folder);
    write_torch_pickle(folder / "part-3.bin", {output_tensor<float>("four", {1}, {two.data(), 1})});
    auto const index = folder / "model.safetensors.index.json";
    write_file(index, R"({"metadata": {"total_size": 24}, "weight_map": {
        "one": "part-1.safetensors", "two": "part-2.safetensors", "four": "part-3.bin"}})");
    auto const file = TensorFile::open(index);
    CHECK(file.tensors().size() == 3);
    CHECK(file.at("one").values<float>() == one);
    CHECK(file.at("two").values<float>() == two);
    CHECK(file.at("four").values<float>() == std::vector<float>{5});
    CHECK(file.find("three") == nullptr);
}

TEST_CASE("an index that does not fit its parts is refused") {
    TemporaryFolder const folder;
    write_parts(folder);
    auto const index = folder / "model.safetensors.index.json";
    auto const message = [&](std::string const& weight_map) {
        write_file(index, "{\"weight_map\": " + weight_map + "}");
        return open_message<Error>(index);
    };
    CHECK(message(R"({"one": "part-1.safetensors"})").empty());
    CHECK(contains(message(R"({"two": "part-1.safetensors"})"), "tensor \"two\" is not in"));
    CHECK(contains(message(R"({"one": "part-9.safetensors"})"), "part-9.safetensors"));
    CHECK(contains(message(R"({"one": "part-9.safetensors"})"), "is missing"));
    CHECK(contains(message(R"({"one": 5})"), "is not a string"));
    CHECK(contains(message(R"([])"), "is not an object"));
    CHECK(contains(message(R"({"one": "a", "one": "b"})"), "occurs twice"));
    for (auto const* const name :
         {"../part-1.safetensors", "/etc/passwd", "", ".", "..", "sub/part", "a\\\\b", "x\\u0000y"})
        CHECK(
            contains(message(join("{\"one\": \"", name, "\"}")), "not the name of a file next to"));
    CHECK(contains(message(R"({"one": "model.safetensors.index.json"})"), "expected tensors"));
}
