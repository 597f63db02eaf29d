#include <support/catch.hpp>

#include <string>

#include <blip/io/checkpoint_names.hpp>
#include <blip/io/task.hpp>
#include <blip/io/write_safetensors.hpp>
#include <io/files.hpp>

namespace {

using namespace blip;
using Names = std::vector<std::string>;

TensorFile file_with(std::filesystem::path const& path, Names const& names) {
    static float const zero[1] = {};
    std::vector<OutputTensor> tensors;
    for (auto const& name : names)
        tensors.push_back({.name = name, .type = DataType::f32, .shape = {1}, .bytes = [] {
                               return std::as_bytes(std::span<float const>(zero));
                           }});
    write_safetensors(path, std::move(tensors), {});
    return TensorFile::open(path);
}

} // namespace

TEST_CASE("a checkpoint's tensors tell its task") {
    test::TemporaryFolder const folder;
    auto const task = [&](Names names) {
        names.push_back("visual_encoder.cls_token");
        return detect_task(file_with(folder / "file.safetensors", names));
    };
    std::string const text = "text_encoder.embeddings.LayerNorm.weight";
    std::string const words = "text_decoder.bert.embeddings.word_embeddings.weight";
    CHECK(task({words}) == Task::captioning);
    CHECK(task({text, words}) == Task::question_answering);
    CHECK(task({text, words, "itm_head.weight"}) == Task::pre_training);
    CHECK(task({text, "itm_head.weight"}) == Task::matching);
    CHECK(task({text}) == Task::features);
    CHECK(task({text, "cls_head.0.weight"}) == Task::pair_reasoning);
    CHECK(task({text, "text_encoder.encoder.layer.0.crossattention.self0.query.weight"}) ==
          Task::pair_reasoning);
    CHECK(task({"text_model.embeddings.LayerNorm.weight"}) == Task::two_towers);
}

TEST_CASE("a checkpoint for another task is refused with the type that reads it") {
    test::TemporaryFolder const folder;
    auto const file = file_with(folder / "vqa.safetensors", {"text_encoder.x", "text_decoder.x"});
    CHECK_NOTHROW(require_task(file, Task::question_answering));
    try {
        require_task(file, Task::captioning);
        FAIL("nothing was thrown");
    } catch (CheckpointError const& error) {
        std::string const text = error.what();
        CHECK(text.find("vqa.safetensors") != text.npos);
        CHECK(text.find("visual question answering") != text.npos);
        CHECK(text.find("blip::QuestionAnswerer") != text.npos);
    }
    CHECK(serves(Task::pre_training, Task::captioning));
    CHECK(serves(Task::pre_training, Task::matching));
    CHECK(serves(Task::matching, Task::features));
    CHECK(serves(Task::question_answering, Task::features));
    CHECK_FALSE(serves(Task::pair_reasoning, Task::features));
    CHECK_FALSE(serves(Task::captioning, Task::matching));
    CHECK_FALSE(serves(Task::pre_training, Task::question_answering));
}

TEST_CASE("heads and momentum copies have the authors' names") {
    auto const names = [](char const* path) { return checkpoint_names(path, Naming::original); };
    CHECK(names("matching.weight") == Names{"itm_head.weight"});
    CHECK(names("vision_projection.bias") == Names{"vision_proj.bias"});
    CHECK(names("text_projection.weight") == Names{"text_proj.weight"});
    CHECK(names("classifier.hidden.weight") == Names{"cls_head.0.weight"});
    CHECK(names("classifier.output.bias") == Names{"cls_head.2.bias"});
    CHECK(names("temperature") == Names{"temp"});
    CHECK(names("teacher.vision.norm.scale") == Names{"visual_encoder_m.norm.weight"});
    CHECK(names("teacher.encoder.embedding.norm.shift") ==
          Names{"text_encoder_m.embeddings.LayerNorm.bias"});
    CHECK(names("teacher.vision_projection.weight") == Names{"vision_proj_m.weight"});
    CHECK(names("teacher.text_projection.bias") == Names{"text_proj_m.bias"});
    CHECK(checkpoint_names("matching.weight", Naming::hugging_face) == Names{"itm_head.weight"});
    CHECK_THROWS_AS(names("teacher.decoder.head.bias"), ArgumentError);
}
