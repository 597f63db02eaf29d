#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
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

/// A parameter within a tree of layers, whatever its type.
struct ParameterPlace {
    std::string path;
    void* data = nullptr;     ///< its member `data`, a pointer to the backend's numbers
    Layout* layout = nullptr; ///< its member `layout`, that of a product's weight
    std::span<int const> shape;
    std::ptrdiff_t size = 0;
};

/// A setting within a tree of layers.
struct SettingPlace {
    std::string path;
    void* value = nullptr;
    double (*get)(void const*) = nullptr;
    void (*set)(void*, double) = nullptr;
};

/// What a walk over a tree of layers finds, in the order of `fields()`. It knows no type of layer,
/// so that each type adds a few calls to a program and nothing else.
class MemberWalk {
public:
    std::vector<ParameterPlace> parameters;
    std::vector<SettingPlace> settings;

    /// Goes down to the member of that name; gives what `leave` takes.
    [[gnu::noinline]] std::size_t enter(std::string_view name) {
        std::size_t const length = path_.size();
        if (!path_.empty() && !name.empty())
            path_ += '.';
        path_ += name;
        return length;
    }
    std::size_t enter(std::size_t number) { return enter(std::to_string(number)); }
    void leave(std::size_t length) { path_.resize(length); }

    [[gnu::noinline]] void add(void* data, Layout* layout, std::span<int const> shape,
                               std::ptrdiff_t size) {
        parameters.push_back({path_, data, layout, shape, size});
    }

    template <Setting T>
    void add(T& value) {
        settings.push_back(
            {path_, &value,
             [](void const* from) { return static_cast<double>(*static_cast<T const*>(from)); },
             [](void* to, double x) { *static_cast<T*>(to) = static_cast<T>(x); }});
    }

private:
    std::string path_;
};

/// Adds what `member` is made of. `first`: the number of an array's first entry.
template <class T>
void walk(T& member, MemberWalk& found, std::size_t first = 0) {
    if constexpr (is_parameter<T>) {
        if constexpr (is_weight<T>)
            found.add(&member.data, &member.layout, T::shape, T::size);
        else
            found.add(&member.data, nullptr, T::shape, T::size);
    } else if constexpr (Setting<T>) {
        found.add(member);
    } else if constexpr (is_std_array<T>::value) {
        for (std::size_t i = 0; i < member.size(); ++i) {
            auto const length = found.enter(first + i);
            walk(member[i], found);
            found.leave(length);
        }
    } else {
        auto const enter = [&](auto const& field) {
            auto const length = found.enter(field.name);
            walk(member.*field.member, found, field.first);
            found.leave(length);
        };
        std::apply([&](auto const&... field) { (enter(field), ...); }, T::fields());
    }
}

/// The walk over all of `layer`. Whoever was given a constant layer must not write to it.
template <class Layer>
MemberWalk members_of(Layer& layer) {
    MemberWalk found;
    walk(const_cast<std::remove_const_t<Layer>&>(layer), found);
    return found;
}

/// Whether all parameters within `T` are of backend `B`.
template <class T, class B>
constexpr bool all_of_backend() {
    if constexpr (is_parameter<T>)
        return std::is_same_v<typename T::backend, B>;
    else if constexpr (Setting<T>)
        return true;
    else if constexpr (is_std_array<T>::value)
        return all_of_backend<typename T::value_type, B>();
    else if constexpr (HasFields<T>)
        return std::apply(
            [](auto... field) {
                return (true && ... && all_of_backend<typename decltype(field)::type, B>());
            },
            T::fields());
    else
        return false;
}

template <class T>
constexpr std::ptrdiff_t parameter_count() {
    if constexpr (is_parameter<T>)
        return T::size;
    else if constexpr (Setting<T>)
        return 0;
    else if constexpr (is_std_array<T>::value)
        return static_cast<std::ptrdiff_t>(std::tuple_size_v<T>) *
               parameter_count<typename T::value_type>();
    else
        return std::apply(
            [](auto... field) {
                return (std::ptrdiff_t{0} + ... +
                        parameter_count<typename decltype(field)::type>());
            },
            T::fields());
}

} // namespace detail

/// Every member of `T` and of its parts is listed in `fields()`: their sizes add up to the
/// struct's.
template <class T>
concept lists_every_member = HasFields<T> && detail::lists_all<T>();

/// The parameters of `T` and of its parts are all of its backend.
template <class T>
concept of_one_backend = HasFields<T> && detail::all_of_backend<T, typename T::backend>();

/// All parameters of `layer`, in the order of `fields()`; `Layer::backend` says of what numbers.
/// Paths look like "vision.blocks.3.attention.norm.scale".
template <class Layer>
    requires of_one_backend<std::remove_const_t<Layer>>
auto list_parameters(Layer& layer) {
    using B = typename Layer::backend;
    auto found = detail::members_of(layer);
    std::vector<NamedParameter<B>> list;
    list.reserve(found.parameters.size());
    for (auto& place : found.parameters)
        list.push_back({std::move(place.path), *static_cast<typename B::scalar**>(place.data),
                        place.shape, place.size, place.layout != nullptr,
                        place.layout ? *place.layout : Layout::rows});
    return list;
}

/// A setting (epsilon, dropout probability) of a layer or of one of its parts; `Writable`: the
/// layer is not constant.
template <bool Writable>
class NamedSetting {
public:
    explicit NamedSetting(detail::SettingPlace place) : place_(std::move(place)) {}

    std::string const& path() const { return place_.path; }
    double value() const { return place_.get(place_.value); }
    void set(double value) const requires Writable { place_.set(place_.value, value); }

private:
    detail::SettingPlace place_;
};

/// All settings of `layer`, in the order of `fields()`; they must not outlive it.
template <class Layer>
auto list_settings(Layer& layer) {
    auto found = detail::members_of(layer);
    std::vector<NamedSetting<!std::is_const_v<Layer>>> list;
    list.reserve(found.settings.size());
    for (auto& place : found.settings)
        list.emplace_back(std::move(place));
    return list;
}

/// How many numbers the parameters of `Layer` hold; shared ones are members once and count once.
template <lists_every_member Layer>
constexpr std::ptrdiff_t count_parameters() {
    return detail::parameter_count<Layer>();
}

} // namespace blip
