#pragma once

#include <string>
#include <vector>

#include "sample.hpp"
#include "trained_model.hpp"

namespace support {

/// How well generated texts agree with what was expected.
class TextScores {
public:
    void add(Sample const& sample, std::string said);

    /// "words": mean F1 of words and pairs of neighbours against the reference that fits best,
    /// which decides; "exact": how many texts are one of theirs. And the first samples, to look at.
    Validation validation() const;

private:
    double words_ = 0, exact_ = 0, count_ = 0;
    std::vector<ShownSample> shown_;
};

} // namespace support
