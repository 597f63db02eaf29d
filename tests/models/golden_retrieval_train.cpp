#include <support/catch.hpp>

#include <blip/backend/cpu/cpu.hpp>
#include <blip/backend/reference/reference.hpp>
#include <blip/model/golden_cases.hpp>
#include <blip/networks/retrieval_network.hpp>
#include <support/training.hpp>

#if BLIP_HAS_GOLDEN_RETRIEVAL_TRAIN
namespace {

using namespace blip;

constexpr char const* name_of_case = "retrieval_train";

template <class B>
void check(test::TrainingTolerance const& tolerance) {
    using Network = RetrievalNetwork<config::golden_retrieval_train, B>;
    test::check_training<Network>(
        name_of_case, tolerance, "ptr_queue", [](auto const& network, auto& run) {
            auto const losses = network.loss(run.images, run.text, *run.settings.enc_id, run.state,
                                             run.options, run.cache, run.bench.context);
            run.scalar(losses.contrastive, "loss_ita");
            run.scalar(losses.matching, "loss_itm");
            run.scalar(losses.total(), "loss_total");
        });
}

} // namespace

TEST_CASE("three steps of retrieval training agree with the authors' release", "[golden]") {
    SECTION("Reference<double>") {
        check<Reference<double>>(test::exact_training());
    }
    SECTION("Cpu<float>") {
        check<Cpu<float>>(test::float_training(name_of_case));
    }
}
#endif
