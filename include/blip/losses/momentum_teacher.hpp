#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include <blip/core/error.hpp>
#include <blip/core/weights.hpp>

namespace blip {

namespace detail {

/// Where a parameter lies in its flat buffer.
struct FlatPlace {
    std::string path;
    std::ptrdiff_t first, size;
    friend bool operator==(FlatPlace const&, FlatPlace const&) = default;
};

template <class Network>
std::vector<FlatPlace> flat_places(Weights<Network> const& weights) {
    std::vector<FlatPlace> places;
    for (auto const& parameter : list_parameters(*weights))
        places.push_back({parameter.path, parameter.data - weights.data(), parameter.size});
    return places;
}

} // namespace detail

/// A slowly moving copy of a network's beginning, which makes the soft targets and the queue's
/// features (paper section 3.2, "momentum encoder"; He et al. 2020). `Teacher` lists the same
/// members as the first of `Online`'s, so both lie alike in their flat buffers and an update is one
/// pass.
template <Trainable Teacher, Trainable Online>
class MomentumTeacher {
public:
    using B = typename Teacher::backend;
    using Engine = typename B::Engine;

    /// Starts as a copy of `online`. Throws ArgumentError unless `online` begins with the
    /// teacher's parameters, in rows.
    MomentumTeacher(Engine& engine, Weights<Online> const& online) : weights_(engine) {
        auto const mine = detail::flat_places(weights_);
        auto theirs = detail::flat_places(online);
        theirs.resize(std::min(theirs.size(), mine.size()));
        if (mine != theirs || online.layout() != Layout::rows)
            throw ArgumentError("momentum teacher: the trained network must begin with the "
                                "teacher's parameters, in Layout::rows");
        auto const own = list_settings(*weights_);
        for (auto const& given : list_settings(*online))
            for (auto const& setting : own)
                if (setting.path() == given.path())
                    setting.set(given.value());
        B::copy(engine, weights_.data(), online.data(), weights_.size());
    }

    /// m ← momentum m + (1 - momentum) p.
    void update(Engine& engine, Weights<Online> const& online, double momentum = 0.995) {
        B::average(engine, online.data(), momentum, weights_.data(), weights_.size());
    }

    Weights<Teacher>& weights() { return weights_; }
    Weights<Teacher> const& weights() const { return weights_; }
    Teacher const& operator*() const { return *weights_; }
    Teacher const* operator->() const { return &*weights_; }

private:
    Weights<Teacher> weights_;
};

} // namespace blip
