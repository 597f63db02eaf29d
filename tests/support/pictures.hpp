#pragma once

#include <algorithm>

#include <blip/vision/image.hpp>

namespace blip::test {

/// Whether two pictures have the same size and the same bytes.
inline bool same(Image const& a, Image const& b) {
    return a.shape() == b.shape() && std::equal(a.begin(), a.end(), b.begin());
}

} // namespace blip::test
