#include <support/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <blip/backend/reference/reference.hpp>
#include <blip/config/presets.hpp>
#include <blip/networks/pretraining_network.hpp>

using namespace blip;

namespace {

using config::pretrain_base, config::pretrain_large;

template <class C, class Share>
std::ptrdiff_t count() {
    return count_parameters<PretrainingNetwork<C, Reference<float>, Share>>();
}

} // namespace

TEST_CASE("tied pre-training models have the published numbers of parameters") {
    // Spec 1.5; the paper's Table 3 gives millions.
    CHECK(count<pretrain_base, share::all_but_self_attention>() == 252'441'919);
    CHECK(count<pretrain_base, share::all_but_cross_attention>() == 252'441'919);
    CHECK(count<pretrain_base, share::everything>() == 224'075'071);
    CHECK(count<pretrain_base, share::nothing>() == 361'333'567);
    CHECK(count<pretrain_large, share::all_but_self_attention>() == 474'729'023);
}

TEST_CASE("a tied decoder is the encoder's weights and its own") {
    using C = pretrain_base;
    using B = Reference<float>;
    PretrainingNetwork<C, B, share::all_but_self_attention> network;
    float numbers[8] = {};
    auto& shared = network.encoder.stack.blocks[3];
    auto& own = network.decoder.blocks[3];
    network.encoder.embedding.words.data = numbers;
    shared.cross.branch.query.weight.data = numbers + 1;
    shared.mlp.norm.scale.data = numbers + 2;
    shared.attention.norm.scale.data = numbers + 3;
    own.attention.norm.scale.data = numbers + 4;
    own.attention.branch.dropout = 0.25;
    auto const decoder = network.whole_decoder();
    auto const& block = decoder.body.stack.blocks[3];
    CHECK(decoder.body.embedding.words.data == numbers);
    CHECK(block.cross.branch.query.weight.data == numbers + 1);
    CHECK(block.mlp.norm.scale.data == numbers + 2);
    CHECK(block.attention.norm.scale.data == numbers + 4);
    CHECK(block.attention.branch.dropout == 0.25);
}

TEST_CASE("shared tensors are listed twice in checkpoints") {
    using Names = std::vector<std::string>;
    using share::all_but_self_attention, share::all_but_cross_attention, share::nothing;
    std::string const self = "text_encoder.encoder.layer.0.attention.output.LayerNorm.weight";
    std::string const cross = "text_encoder.encoder.layer.0.crossattention.self.key.bias";
    auto const other = [](std::string name) {
        return Names{name.replace(0, 13, "text_decoder.bert.")};
    };
    CHECK(shared_names<all_but_self_attention>(self).empty());
    CHECK(shared_names<all_but_self_attention>(cross) == other(cross));
    CHECK(shared_names<all_but_cross_attention>(self) == other(self));
    CHECK(shared_names<all_but_cross_attention>(cross).empty());
    CHECK(shared_names<share::everything>(self) == other(self));
    CHECK(shared_names<share::everything>(cross) == other(cross));
    std::string const up = "text_encoder.encoder.layer.7.intermediate.dense.weight";
    CHECK(shared_names<all_but_self_attention>(up) == other(up));
    CHECK(shared_names<nothing>(up).empty());
    CHECK(shared_names<all_but_self_attention>("text_encoder.embeddings.word_embeddings.weight") ==
          Names{"text_decoder.bert.embeddings.word_embeddings.weight",
                "text_decoder.cls.predictions.decoder.weight"});
    CHECK(shared_names<nothing>("text_decoder.bert.embeddings.word_embeddings.weight") ==
          Names{"text_decoder.cls.predictions.decoder.weight"});
    CHECK(shared_names<all_but_self_attention>("text_decoder.cls.predictions.bias") ==
          Names{"text_decoder.cls.predictions.decoder.bias"});
    CHECK(shared_names<all_but_self_attention>("text_encoder_m.embeddings.LayerNorm.bias").empty());
}

TEST_CASE("paths of a tied decoder are those of a whole one") {
    auto const paths = [](auto network) {
        std::vector<std::string> all;
        for (auto const& parameter : list_parameters(network))
            all.push_back(parameter.path);
        return all;
    };
    using B = Reference<float>;
    auto const whole = paths(PretrainingNetwork<pretrain_base, B, share::nothing>{});
    auto const tied = paths(PretrainingNetwork<pretrain_base, B>{});
    for (auto const& path : tied)
        CHECK(std::find(whole.begin(), whole.end(), path) != whole.end());
    CHECK(tied.back() == "decoder.head.bias");
}
