#include <blip/io/write_safetensors.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

#include <nlohmann/json.hpp>

#include <limits>

using namespace blip;
using namespace blip::test;

namespace {

std::string safetensors_text(std::string const& header, std::string const& data) {
    return little_endian(std::uint64_t{header.size()}) + header + data;
}

SafetensorsContent read(std::string const& text) {
    return read_safetensors(bytes_of(text), "file");
}

std::string message(std::string const& header, std::string const& data) {
    return message_of<Error>([&] { read(safetensors_text(header, data)); });
}

void use(SafetensorsContent const& content) {
    for (auto const& tensor : content.tensors)
        tensor.values<double>();
}

std::string const two_tensors = safetensors_text(
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("a":{"dtype":"I64","shape":[1,1],"data_offsets":[8,16]}}  )",
    little_endian(1.5f) + little_endian(-2.0f) + little_endian(std::int64_t{77}));

} // namespace

TEST_CASE("a safetensors file is read in place, in the order of storage") {
    auto const content = read(two_tensors);
    REQUIRE(content.tensors.size() == 2);
    CHECK(content.tensors[0].name == "b");
    CHECK(content.tensors[0].values<float>() == std::vector<float>{1.5f, -2.0f});
    CHECK(content.tensors[1].name == "a");
    CHECK(content.tensors[1].shape == std::vector<std::int64_t>{1, 1});
    CHECK(content.tensors[1].values<std::int64_t>() == std::vector<std::int64_t>{77});
    CHECK(content.metadata == std::map<std::string, std::string>{{"format", "pt"}});
    CHECK(static_cast<void const*>(content.tensors[1].storage.data()) ==
          static_cast<void const*>(two_tensors.data() + two_tensors.size() - 8));
}

TEST_CASE("the reference library's hostile files are judged as there") {
    auto const cases = parse_json(content_of(test_data("fuzz/safetensors/expected.json")), "list");
    REQUIRE(cases.size() >= 20);
    for (auto const& entry : cases) {
        auto const name = entry["file"].get<std::string>();
        INFO(name);
        auto const text = content_of(test_data("fuzz/safetensors/" + name));
        if (entry["expected"] == "OK")
            CHECK_NOTHROW(use(read(text)));
        else
            CHECK_THROWS_AS(read(text), Error);
    }
}

TEST_CASE("each rule of the format has its message") {
    auto const entry = [](std::string const& type, std::string const& shape,
                          std::string const& offsets) {
        return R"({"x":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":)" +
               offsets + "}}";
    };
    std::string const data(8, '\0');
    CHECK(message(entry("F32", "[2]", "[0,8]"), data).empty());
    CHECK(contains(message(entry("F33", "[2]", "[0,8]"), data), "element type \"F33\""));
    CHECK(contains(message(entry("F32", "[3]", "[0,8]"), data), "does not fill its bytes"));
    CHECK(contains(message(entry("F32", "[2]", "[8,0]"), data), "does not fill its bytes"));
    CHECK(contains(message(entry("F32", "[-2]", "[0,8]"), data), "not negative"));
    CHECK(contains(message(entry("F32", "[2.0]", "[0,8]"), data), "whole number"));
    CHECK(contains(message(entry("F32", "[2]", "[0,8,9]"), data), "two \"data_offsets\""));
    CHECK(contains(message(entry("F32", "[2]", "[0,8]"), data.substr(1)), "incomplete"));
    CHECK(contains(message(entry("F32", "[2]", "[0,8]"), data + "x"), "after the last tensor"));
    CHECK(contains(message(entry("F32", "[1]", "[4,8]"), data), "expected to begin at 0"));
    CHECK(contains(message(R"({"x":{"dtype":"F32","shape":[2]}})", data), "data_offsets"));
    CHECK(contains(message(R"({"x":1})", ""), "dtype"));
    CHECK(contains(message("[]", ""), "not a JSON object"));
    CHECK(contains(message(R"({"a":1,"a":2})", ""), "occurs twice"));
    CHECK(contains(message(R"({"__metadata__":{"a":1}})", ""), "not a string"));
    CHECK(contains(message(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                           R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                           "xxx"),
                   "expected to begin at 2"));
}

TEST_CASE("sizes that overflow ask for no memory") {
    auto const big = std::to_string(std::uint64_t{1} << 60);
    auto const most = std::to_string(std::numeric_limits<std::uint64_t>::max());
    for (auto const& [shape, end] : std::vector<std::pair<std::string, std::string>>{
             {"[" + big + "]", std::to_string(std::uint64_t{1} << 62)},
             {"[" + big + "," + big + "]", "0"},
             {"[" + big + ",16]", "0"},
             {"[4611686018427387904,4]", "0"},
             {"[" + most + "]", most},
             {"[" + most + ",0]", "0"},
             {"[1]", most}}) {
        INFO(shape << " " << end);
        CHECK_FALSE(message(R"({"x":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,)" +
                                end + "]}}",
                            "")
                        .empty());
    }
    CHECK_THROWS_AS(read(little_endian(std::numeric_limits<std::uint64_t>::max()) + "{}"), Error);
    CHECK_THROWS_AS(read(little_endian(std::uint64_t{99'999'999}) + "{}"), FormatError);
}

TEST_CASE("damaged safetensors files give an error or a value") {
    auto const read_all = [](std::span<std::byte const> bytes) {
        use(read_safetensors(bytes, "file"));
    };
    CHECK(readable_beginnings(two_tensors, read_all) == 0);
    CHECK(failures_after_damage(two_tensors, read_all) > 100);
}

TEST_CASE("written safetensors files are read back") {
    TemporaryFolder const folder;
    std::vector<float> const floats{1, -2.5f, 1e-30f, 65504, 0.1f, std::nanf("")};
    std::vector<double> const doubles{0.1, 1e300};
    std::vector<std::int64_t> const integers{-1, std::numeric_limits<std::int64_t>::max()};
    std::vector<std::uint8_t> const bytes{1, 2, 255};
    std::vector<OutputTensor> const tensors{
        output_tensor<std::uint8_t>("u", {3}, bytes),
        output_tensor<float>("z", {2, 3}, floats),
        output_tensor<double>("d", {2}, doubles),
        output_tensor<std::int64_t>("i", {2}, integers),
        output_tensor<float>("scalar", {}, std::span(floats).first(1)),
        output_tensor<float>("empty", {0, 4}, {})};
    auto const path = folder / "model.safetensors";

    write_safetensors(path, tensors);
    auto const file = TensorFile::open(path);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.tensors().size() == tensors.size());
    for (auto const& tensor : file.tensors())
        CHECK(reinterpret_cast<std::uintptr_t>(tensor.storage.data()) %
                  static_cast<std::uintptr_t>(size_of(tensor.type)) ==
              0);
    CHECK(std::memcmp(file.at("z").direct<float>()->data(), floats.data(), 24) == 0);
    CHECK(file.at("d").values<double>() == doubles);
    CHECK(file.at("i").values<std::int64_t>() == integers);
    CHECK(file.at("u").values<double>() == std::vector<double>{1, 2, 255});
    CHECK(file.at("scalar").shape.empty());
    CHECK(file.at("empty").shape == std::vector<std::int64_t>{0, 4});
    auto const text = content_of(path);
    CHECK(detail::load_unaligned<std::uint64_t>(bytes_of(text).data()) % 8 == 0);

    // What a type cannot hold is an error, and the file stays as it was.
    for (auto const type : {DataType::f16, DataType::bf16}) {
        std::string message;
        try {
            write_safetensors(path, tensors, {.floating_type = type});
        } catch (ArgumentError const& error) {
            message = error.what();
        }
        CHECK(message.starts_with("tensor d holds 1e+300, which is too large for "));
        CHECK(TensorFile::open(path).at("d").values<double>() == doubles);
    }
    auto small = tensors;
    std::erase_if(small, [](auto const& tensor) { return tensor.name == "d"; });
    write_safetensors(path, small, {.floating_type = DataType::f16, .metadata = {}});
    auto const half = TensorFile::open(path);
    CHECK(half.metadata().empty());
    CHECK(half.at("z").type == DataType::f16);
    CHECK(half.at("z").values<float>()[4] == half_to_float(float_to_half(0.1f)));
    CHECK(half.at("i").values<std::int64_t>() == integers);

    write_safetensors(path, small, {.floating_type = DataType::bf16});
    CHECK(TensorFile::open(path).at("z").values<float>()[1] == -2.5f);
}

TEST_CASE("long tensors are converted in pieces") {
    TemporaryFolder const folder;
    std::vector<float> values(100'003);
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(i % 2048);
    write_safetensors(folder / "f", {output_tensor<float>("x", {100'003}, values)},
                      {.floating_type = DataType::f16});
    CHECK(TensorFile::open(folder / "f").at("x").values<float>() == values);
}

TEST_CASE("tensors that cannot be written leave no file") {
    TemporaryFolder const folder;
    std::vector<float> const values(4);
    auto const write = [&](std::vector<OutputTensor> tensors, SafetensorsOptions options = {}) {
        write_safetensors(folder / "f", std::move(tensors), options);
    };
    auto const x = output_tensor<float>("x", {4}, values);
    CHECK_THROWS_AS(write({x, x}), ArgumentError);
    CHECK_THROWS_AS(write({output_tensor<float>("x", {5}, values)}), ArgumentError);
    CHECK_THROWS_AS(write({output_tensor<float>("x", {-4}, values)}), ArgumentError);
    CHECK_THROWS_AS(write({output_tensor<float>("__metadata__", {4}, values)}), ArgumentError);
    CHECK_THROWS_AS(write({output_tensor<float>("\xFF", {4}, values)}), ArgumentError);
    CHECK_THROWS_AS(write({x}, {.floating_type = DataType::i64}), ArgumentError);
    CHECK(std::filesystem::is_empty(folder.path()));
}
