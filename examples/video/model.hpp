#pragma once

#include <memory>
#include <string>
#include <vector>

#include <blip/models/matcher.hpp>
#include <blip/models/question_answerer.hpp>

#include "../support/model_choice.hpp"

namespace video {

using Texts = std::vector<std::string>;

/// A model that looks at clips, of any size that is compiled in; a matcher matches, an answerer
/// does the rest.
struct Model : support::AnyModel {
    virtual std::vector<blip::Match> match(blip::Pixels const& frames, Texts const& texts) const {
        static_cast<void>(frames), static_cast<void>(texts);
        return {};
    }
    virtual std::vector<std::vector<blip::Answer>> answer(blip::Pixels const& frames,
                                                          Texts const& questions) const {
        static_cast<void>(frames), static_cast<void>(questions);
        return {};
    }
    /// Prepares `rank`.
    virtual void set_candidates(Texts const& texts) { static_cast<void>(texts); }
    virtual std::vector<std::vector<blip::ChosenAnswer>>
    rank(blip::Pixels const& frames, Texts const& questions,
         blip::RankOptions const& options) const {
        static_cast<void>(frames), static_cast<void>(questions), static_cast<void>(options);
        return {};
    }
};

/// One source file each, so that they are compiled beside one another. Each throws what
/// `load_model` does.
std::unique_ptr<Model> load_matcher(support::CommonArguments const& a);
std::unique_ptr<Model> load_answerer(support::CommonArguments const& a);

/// Writes the untrained model of a kind that the arguments ask for; see `write_random_model`.
int write_random_matcher(support::CommonArguments const& a);
int write_random_answerer(support::CommonArguments const& a);

} // namespace video
