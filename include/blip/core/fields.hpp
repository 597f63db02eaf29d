#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <blip/core/parameter.hpp>

namespace blip {

/// One member of a layer by name. Each layer lists all of its members once, in
/// `static constexpr auto fields()`; initialising, counting, naming, loading and saving follow from
/// it. A member named "" adds nothing to the paths of its parts; the entries of an array are
/// numbered from `first`.
template <class Owner, class Member>
struct Field {
    using type = Member;
    std::string_view name;
    Member Owner::*member;
    std::size_t first = 0;
};
template <class Owner, class Member>
Field(char const*, Member Owner::*) -> Field<Owner, Member>;
template <class Owner, class Member>
Field(char const*, Member Owner::*, std::size_t) -> Field<Owner, Member>;

/// A layer: a struct of weights and settings that lists its members.
template <class T>
concept HasFields = requires {
    T::fields();
};

/// A number that belongs to a loaded model but is not learned: an epsilon, a dropout probability.
template <class T>
concept Setting = std::is_arithmetic_v<T>;

namespace detail {

template <class T>
struct is_std_array : std::false_type {};
template <class T, std::size_t Count>
struct is_std_array<std::array<T, Count>> : std::true_type {};

template <class T>
constexpr bool lists_all();

template <class T>
constexpr bool member_lists_all() {
    if constexpr (is_parameter<T> || Setting<T>)
        return true;
    else if constexpr (is_std_array<T>::value)
        return member_lists_all<typename T::value_type>();
    else
        return HasFields<T> && lists_all<T>();
}

template <class A, class B>
constexpr bool same_member(A a, B b) {
    if constexpr (std::is_same_v<A, B>)
        return a.member == b.member;
    else
        return false;
}

template <class T>
constexpr bool lists_all() {
    return std::apply(
        [](auto... field) {
            std::size_t const listed =
                (std::size_t{0} + ... + sizeof(typename decltype(field)::type));
            // A member listed twice could hide one that is not listed.
            auto const once = [&](auto one) {
                return (0 + ... + (same_member(one, field) ? 1 : 0)) == 1;
            };
            return listed == sizeof(T) && (once(field) && ...) &&
                   (member_lists_all<typename decltype(field)::type>() && ...);
        },
        T::fields());
}

template <class T, class F>
void visit(T& member, std::string& path, F& f, std::size_t first = 0) {
    using Plain = std::remove_const_t<T>;
    std::size_t const length = path.size();
    auto enter = [&](std::string_view name, auto& part, std::size_t number) {
        if (!path.empty() && !name.empty())
            path += '.';
        path += name;
        visit(part, path, f, number);
        path.resize(length);
    };
    if constexpr (is_parameter<Plain> || Setting<Plain>) {
        f(static_cast<std::string const&>(path), member);
    } else if constexpr (is_std_array<Plain>::value) {
        for (std::size_t i = 0; i < member.size(); ++i)
            enter(std::to_string(first + i), member[i], 0);
    } else {
        std::apply(
            [&](auto... field) { (enter(field.name, member.*field.member, field.first), ...); },
            Plain::fields());
    }
}

} // namespace detail

/// Every member of `T` and of its parts is listed in `fields()`: their sizes add up to the
/// struct's.
template <class T>
concept lists_every_member = HasFields<T> && detail::lists_all<T>();

/// Calls f(path, parameter) for every parameter of `layer`, in the order of `fields()`. Paths look
/// like "vision.blocks.3.attention.norm.scale".
template <class Layer, class F>
void for_each_parameter(Layer& layer, F f) {
    auto only_parameters = [&](std::string const& path, auto& member) {
        if constexpr (is_parameter<std::remove_cvref_t<decltype(member)>>)
            f(path, member);
    };
    std::string path;
    detail::visit(layer, path, only_parameters);
}

/// All parameters of `layer`, in the order of `fields()`.
template <class Layer>
auto list_parameters(Layer& layer) {
    std::vector<NamedParameter<typename Layer::backend>> list;
    for_each_parameter(layer, [&](std::string const& path, auto& parameter) {
        using P = std::remove_cvref_t<decltype(parameter)>;
        auto& entry = list.emplace_back();
        entry.path = path;
        entry.data = parameter.data;
        entry.shape = P::shape;
        entry.size = P::size;
        if constexpr (is_weight<P>) {
            entry.is_weight = true;
            entry.layout = parameter.layout;
        }
    });
    return list;
}

/// Calls f(path, value) for every setting of `layer` (epsilons, dropout probabilities).
template <class Layer, class F>
void for_each_setting(Layer& layer, F f) {
    auto only_settings = [&](std::string const& path, auto& member) {
        if constexpr (Setting<std::remove_cvref_t<decltype(member)>>)
            f(path, member);
    };
    std::string path;
    detail::visit(layer, path, only_settings);
}

/// How many numbers the parameters of `Layer` hold; shared ones are members once and count once.
template <lists_every_member Layer>
std::ptrdiff_t count_parameters() {
    std::ptrdiff_t count = 0;
    Layer layer{};
    for_each_parameter(layer, [&](std::string const&, auto& parameter) {
        count += std::remove_cvref_t<decltype(parameter)>::size;
    });
    return count;
}

} // namespace blip
