#include <blip/io/torch_pickle.hpp>
#include <blip/io/write_torch_pickle.hpp>

#include "io/files.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"

#include <nlohmann/json.hpp>

#include <cmath>

using namespace blip;
using namespace blip::test;

namespace {

nlohmann::json as_json(PickleValue const& value) {
    auto result = nlohmann::json::object();
    auto items = nlohmann::json::array();
    for (std::size_t i = 0; !value.is(PickleKind::dict) && i < value.size(); ++i)
        items.push_back(as_json(value[i]));
    switch (value.kind()) {
    case PickleKind::none:
        return nullptr;
    case PickleKind::boolean:
        return value.as_bool();
    case PickleKind::integer:
        return std::abs(value.as_integer()) > (std::int64_t{1} << 53)
                   ? nlohmann::json{{"int", std::to_string(value.as_integer())}}
                   : nlohmann::json(value.as_integer());
    case PickleKind::big_integer:
        return {{"int", value.as_big_integer()}};
    case PickleKind::real:
        return value.as_real();
    case PickleKind::string:
        return value.as_string();
    case PickleKind::bytes: {
        std::string digits;
        for (char const byte : value.as_bytes())
            for (int const shift : {4, 0})
                digits += "0123456789abcdef"[static_cast<unsigned char>(byte) >> shift & 15];
        return {{"bytes", digits}};
    }
    case PickleKind::list:
        return {{"list", items}};
    case PickleKind::tuple:
        return {{"tuple", items}};
    case PickleKind::set:
        return {{"set", items}};
    case PickleKind::dict:
        for (std::size_t i = 0; i < value.size(); ++i)
            items.push_back({as_json(value.key(i)), as_json(value.value(i))});
        return {{"dict", items}};
    case PickleKind::tensor:
        return {{"tensor", name_of(value.as_tensor().type)}, {"shape", value.as_tensor().shape}};
    case PickleKind::global:
    case PickleKind::storage:
        break;
    }
    return "unexpected";
}

bool same_bits(TensorView const& actual, TensorView const& expected) {
    if (actual.type != expected.type || actual.shape != expected.shape)
        return false;
    if (!is_floating(actual.type))
        return actual.values<std::int64_t>() == expected.values<std::int64_t>();
    auto const a = actual.values<double>();
    auto const e = expected.values<double>();
    for (std::size_t i = 0; i < a.size(); ++i)
        if (std::isnan(a[i]) ? !std::isnan(e[i]) : std::memcmp(&a[i], &e[i], sizeof(double)) != 0)
            return false;
    return true;
}

void check_golden(std::string const& folder) {
    auto const cases = golden_json(folder);
    REQUIRE_FALSE(cases["files"].empty());
    for (auto const& entry : cases["files"]) {
        auto const name = entry["file"].get<std::string>();
        auto const content = entry["content"].get<std::string>();
        INFO(folder << "/" << name);
        MappedFile const map(golden_file(folder, name));
        TorchPickle const file(map.bytes(), name, {.checksums = Checksums::verify});
        CHECK(as_json(file.root()) == golden_json(folder, content + ".expected.json"));
        auto const tensors = file.tensors_below(file.root());
        if (!std::filesystem::exists(golden_file(folder, content + ".expected.safetensors"))) {
            CHECK(tensors.empty());
            continue;
        }
        GoldenTensors const expected(folder, content + ".expected.safetensors");
        CHECK(tensors.size() == expected.names().size());
        for (auto const& tensor : tensors) {
            INFO(tensor.name);
            REQUIRE(expected.has(tensor.name));
            CHECK(same_bits(tensor, expected.file().at(tensor.name)));
            CHECK((tensor.storage.empty() || map.contains(tensor.storage)));
        }
    }
}

/// Reads one pickle and nothing else.
struct Pickle {
    PickleTree tree;

    PickleValue read(std::string_view text, std::size_t memory = 1 << 24) {
        return PickleReader(bytes_of(text), "file", tree, memory).read();
    }
};

template <class Failure = FormatError>
std::string message(std::string const& text, std::size_t memory = 1 << 24) {
    return message_of<Failure>([&] { Pickle().read(text, memory); });
}

std::string global(std::string const& scope, std::string const& name) {
    return "c" + scope + "\n" + name + "\n";
}

std::string text_of(std::string const& value) {
    return "X" + little_endian(static_cast<std::uint32_t>(value.size())) + value;
}

void read_all(std::span<std::byte const> bytes) {
    TorchPickle const file(bytes, "file");
    for (auto const& tensor : file.tensors_below(file.root()))
        tensor.values<double>();
}

} // namespace

TEST_CASE("files of torch 1.10 are read bit by bit", "[golden]") {
    check_golden("pickle_torch_1_10");
}

TEST_CASE("files of torch 2 are read bit by bit", "[golden]") {
    check_golden("pickle_torch_2");
}

TEST_CASE("damaged torch files give an error or a value", "[golden]") {
    for (auto const* const name : {"tied.zip.pth", "tied.legacy.pth", "checkpoint.legacy.pth"}) {
        INFO(name);
        auto const text = content_of(golden_file("pickle_torch_2", name));
        CHECK(readable_beginnings(text, read_all) == 0);
        CHECK(failures_after_damage(text, read_all) > 500);
    }
}

TEST_CASE("a damaged zip entry is noticed by its checksum", "[golden]") {
    auto text = content_of(golden_file("pickle_torch_2", "tied.zip.pth"));
    auto const file = TorchPickle(bytes_of(text), "f");
    auto const data = file.tensors_below(file.root())[0].storage;
    auto const place =
        static_cast<std::size_t>(data.data() - reinterpret_cast<std::byte const*>(text.data()));
    text[place] = static_cast<char>(text[place] ^ 1);
    CHECK_NOTHROW(TorchPickle(bytes_of(text), "f"));
    CHECK_THROWS_AS(TorchPickle(bytes_of(text), "f", {.checksums = Checksums::verify}),
                    FormatError);
}

TEST_CASE("hostile pickles are refused, harmless ones of torch are read") {
    std::size_t refused = 0;
    for (auto const& entry : std::filesystem::directory_iterator(test_data("fuzz/pickle"))) {
        auto const name = entry.path().filename().string();
        INFO(name);
        auto const text = content_of(entry.path());
        if (name == "test.pt" || name == "test_with_key.pt" || name == "fortran_tensor_3d.pth") {
            TorchPickle const file(bytes_of(text), name);
            auto const tensors = file.tensors_below(file.root());
            REQUIRE(tensors.size() == 1);
            std::vector<std::int64_t> counted(tensors[0].shape.size() == 2 ? 8 : 24);
            for (std::size_t i = 0; i < counted.size(); ++i)
                counted[i] = static_cast<std::int64_t>(i) + 1;
            CHECK(tensors[0].values<std::int64_t>() == counted);
            continue;
        }
        if (name == "new_pytorch_model.bin") {
            CHECK_NOTHROW(read_all(bytes_of(text)));
            continue;
        }
        CHECK_THROWS_AS(read_all(bytes_of(text)), Error);
        Pickle pickle;
        if (name == "malicious6.pkl") // a list of three strings; what follows is never looked at
            CHECK(pickle.read(text).size() == 3);
        else if (name.starts_with("malicious") && name.ends_with(".pkl"))
            CHECK_THROWS_AS(pickle.read(text), Error);
        ++refused;
    }
    CHECK(refused >= 40);
}

TEST_CASE("unknown globals are refused by their full name") {
    CHECK(contains(message("\x80\x02" + global("os", "system") + text_of("true") + "\x85R."),
                   "\"os.system\""));
    CHECK(contains(message("\x80\x04" + text_of("builtins") + text_of("eval") + "\x93."),
                   "\"builtins.eval\""));
    CHECK(contains(message("\x80\x02" + global("argparse", "Namespace") + ")\x81."),
                   "\"argparse.Namespace\""));
    CHECK(contains(message("\x80\x02(i"
                           "subprocess\nPopen\n."),
                   "\"subprocess.Popen\""));
    CHECK(contains(message("\x80\x02" + global("torch.storage", "_load_from_bytes") + "."),
                   "torch.storage._load_from_bytes"));
    CHECK(contains(message("\x80\x02" + global("o\x1b[2Js", "x") + "."), "o?[2Js.x"));
    CHECK(contains(message("\x80\x02" + global("torch", "FloatStorage") + ")R."), "never does"));
}

TEST_CASE("plain values are read") {
    Pickle pickle;
    CHECK(as_json(pickle.read("\x80\x02(K\x01M\x01\x02J\xFF\xFF\xFF\xFF\x88\x89Nt.")) ==
          nlohmann::json{{"tuple", {1, 513, -1, true, false, nullptr}}});
    CHECK(pickle.read(std::string("\x80\x02\x8A\x00.", 5)).as_integer() == 0);
    CHECK(pickle.read("\x80\x02\x8A\x01\x80.").as_integer() == -128);
    CHECK(pickle.read(std::string("\x80\x02\x8A\x08\0\0\0\0\0\0\0\x80.", 13)).as_integer() ==
          std::numeric_limits<std::int64_t>::min());
    CHECK(pickle.read(std::string("\x80\x02\x8A\x09\0\0\0\0\0\0\0\0\xFF.", 14)).as_big_integer() ==
          "-18446744073709551616");
    CHECK(pickle.read(std::string("\x80\x02\x8A\x09\0\0\0\0\0\0\0\x80\0.", 14)).as_big_integer() ==
          "9223372036854775808");
    CHECK(as_json(pickle.read("\x80\x02](K\x01K\x02"
                              "e0(K\x03"
                              "1]K\x04"
                              "a2\x86.")) ==
          nlohmann::json{{"tuple", {{{"list", {4}}}, {{"list", {4}}}}}});
    CHECK(
        as_json(pickle.read("\x80\x02" + global("collections", "OrderedDict") + "]" + text_of("k") +
                            "K\x05\x86"
                            "a\x85R.")) == nlohmann::json::parse(R"({"dict": [["k", 5]]})"));
    CHECK(as_json(pickle.read("\x80\x02" + global("torch", "Size") + "K\x02K\x03\x86\x85R.")) ==
          nlohmann::json{{"tuple", {2, 3}}});
    CHECK(pickle
              .read("\x80\x02" + global("_codecs", "encode") + text_of("a\xC3\xBF") +
                    text_of("latin1") + "\x86R.")
              .as_bytes() == "a\xFF");
}

TEST_CASE("malformed pickles say what is wrong") {
    CHECK(contains(message("\x80\x01."), "protocol 1"));
    CHECK(contains(message("\x80\x02."), "takes a value where there is none"));
    CHECK(contains(message("\x80\x02N"), "ends in the middle"));
    CHECK(contains(message("\x80\x02t."), "a mark is missing"));
    CHECK(contains(message("\x80\x02K\x01(a."), "takes 1 values where there are 0"));
    CHECK(contains(message("\x80\x02}(K\x01u."), "a key without a value"));
    CHECK(contains(message("\x80\x02NK\x01"
                           "a."),
                   "added to None"));
    CHECK(contains(message("\x80\x02h\x07."), "recalls value 7"));
    CHECK(contains(message("\x80\x02\x82\x01."), "unknown"));
    CHECK(contains(message("\x80\x02]Nb."), "a state is set on a list"));
    CHECK(contains(message("\x80\x02" + global("torch._utils", "_rebuild_tensor_v2") + ")R."),
                   "called with 0 arguments"));
    CHECK(contains(message("\x80\x02X\xFF\xFF\xFF\x7F"
                           "abc."),
                   "ends in the middle"));
}

TEST_CASE("bombs run into the memory limit") {
    std::string nodes = "\x80\x02";
    for (int i = 0; i < 100'000; ++i)
        nodes += "]0";
    CHECK_FALSE(message<LimitError>(nodes + "N.", 1 << 20).empty());

    std::string memo = "\x80\x04N" + std::string(100'000, '\x94') + ".";
    CHECK_FALSE(message<LimitError>(memo, 1 << 20).empty());

    std::string copies = "\x80\x02](" + std::string(1000, 'N') +
                         "e\x85q\x01"
                         "0" +
                         global("builtins", "set") +
                         "q\x02"
                         "0";
    for (int i = 0; i < 10'000; ++i)
        copies += "h\x02h\x01R0";
    CHECK_FALSE(message<LimitError>(copies + "N.", 1 << 22).empty());
    CHECK_FALSE(
        message<LimitError>("\x80\x02" + text_of(std::string(5000, 'x')) + ".", 4096).empty());
}

namespace {

/// A file in torch's older format with the given object; no storages.
std::string legacy(std::string const& object) {
    return std::string(
               "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02M\xE9\x03.") +
           "\x80\x02}.\x80\x02" + object + ".\x80\x02].";
}

} // namespace

TEST_CASE("deep, cyclic and exponential trees are bounded") {
    std::string deep;
    for (int i = 0; i < 1'000'000; ++i)
        deep += ']';
    for (int i = 0; i < 999'999; ++i)
        deep += 'a';
    CHECK_THROWS_AS(read_all(bytes_of(legacy(deep))), LimitError);
    CHECK_THROWS_AS(read_all(bytes_of(legacy("]q\x01h\x01"
                                             "a"))),
                    LimitError);
    std::string doubling = "]Na";
    for (int i = 0; i < 40; ++i)
        doubling += "2\x86";
    CHECK_THROWS_AS(read_all(bytes_of(legacy(doubling))), LimitError);
    CHECK_NOTHROW(read_all(bytes_of(legacy("]Na"))));
    CHECK_THROWS_AS(read_all(bytes_of(legacy("}(" + text_of("a") + "N" + text_of("a") + "Nu"))),
                    FormatError);
}

TEST_CASE("tensors beyond their storage or of impossible size are refused") {
    auto const tensor = [](std::string const& elements, std::string const& offset,
                           std::string const& shape, std::string const& strides) {
        return legacy(global("torch._utils", "_rebuild_tensor_v2") + "((" + text_of("storage") +
                      global("torch", "FloatStorage") + text_of("0") + text_of("cpu") + elements +
                      "NtQ" + offset + shape + strides + "\x89}tR");
    };
    auto const big = "\x8A\x08" + little_endian(std::int64_t{1} << 60);
    CHECK(contains(message_of<FormatError>([&] {
                       read_all(bytes_of(tensor("K\x04", "K\x02", "K\x03\x85", "K\x01\x85")));
                   }),
                   "leaves its storage of 4 elements"));
    for (auto const& text : {tensor(big, "K\x01", big + "\x85", "K\x01\x85"),
                             tensor("K\x04", big, "K\x01\x85", "K\x01\x85"),
                             tensor("K\x04", "K\x01", big + big + "\x86", "K\x01K\x01\x86"),
                             tensor("K\x04", "K\x01", "K\x02\x85", big + "\x85"),
                             tensor("K\x04", "K\x01", big + "\x85", "K\x01\x85")})
        CHECK_THROWS_AS(read_all(bytes_of(text)), Error);
    auto const many = "\x8A\x08" + little_endian(std::int64_t{1} << 59);
    CHECK_THROWS_AS(
        read_all(bytes_of(tensor("K\x04", "K\x01", many + "\x85", std::string("K\x00\x85", 3)))),
        LimitError);
}

TEST_CASE("a written state dict is read back with its shared tensors") {
    TemporaryFolder const folder;
    std::vector<float> const floats{1, 2, 3, 4, 5, 6};
    std::vector<std::int64_t> const step{1'000'000'000'000};
    std::vector<float> const many(70'000, 0.25f);
    auto const path = folder / "weights.pth";
    std::vector<OutputTensor> const tensors{
        output_tensor<float>("a.weight", {2, 3}, floats),
        output_tensor<std::int64_t>("step", {1}, step),
        output_tensor<float>("scalar", {}, std::span(floats).subspan(2, 1)),
        output_tensor<float>("empty", {0, 3}, {}), output_tensor<float>("many", {70'000}, many)};
    write_torch_pickle(path, tensors, {.tied = {{"b.weight", "a.weight"}}});

    MappedFile const map(path);
    TorchPickle const pickle(map.bytes(), "weights.pth", {.checksums = Checksums::verify});
    CHECK(pickle.root().find("model").has_value());
    auto const file = TensorFile::open(path);
    CHECK(file.tensors().size() == 6);
    CHECK(file.at("a.weight").direct<float>());
    CHECK(file.at("a.weight").values<float>() == floats);
    CHECK(file.at("b.weight").storage.data() == file.at("a.weight").storage.data());
    CHECK(file.at("step").values<std::int64_t>() == step);
    CHECK(file.at("scalar").values<float>() == std::vector<float>{3});
    CHECK(file.at("empty").shape == std::vector<std::int64_t>{0, 3});
    CHECK(file.at("many").values<float>() == many);

    write_torch_pickle(path, tensors, {.key = "state_dict", .floating_type = DataType::bf16});
    CHECK(TensorFile::open(path).at("a.weight").type == DataType::bf16);
    CHECK(TensorFile::open(path).at("a.weight").values<float>() == floats);
    CHECK_THROWS_AS(write_torch_pickle(path, tensors, {.tied = {{"x", "unknown"}}}), ArgumentError);
    CHECK_THROWS_AS(write_torch_pickle(path, tensors, {.tied = {{"step", "a.weight"}}}),
                    ArgumentError);
}
