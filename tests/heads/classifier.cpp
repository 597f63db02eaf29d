#include <support/catch.hpp>

#include <blip/heads/classifier.hpp>
#include <support/check_layer.hpp>

template <class B>
using Small = blip::Classifier<5, 3, B>;

TEST_CASE("the classifier keeps the contract") {
    blip::test::check_layer<5, Small>();
}
