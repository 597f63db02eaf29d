#pragma once

#include <blip/core/error.hpp>
#include <blip/io/pickle_globals.hpp>
#include <blip/io/pickle_tree.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace blip {

/// Reads pickles (protocols 2 to 5) without ever running what they name: only plain values and the
/// tensor constructors listed in pickle_globals.hpp exist. Work and memory stay in proportion to
/// the input; nothing recurses.
class PickleReader {
public:
    /// Reads from `bytes`; `where` begins every message; values go to `tree`. At most about
    /// `memory` bytes are taken (LimitError).
    PickleReader(std::span<std::byte const> bytes, std::string where, PickleTree& tree,
                 std::size_t memory)
        : bytes_(bytes), calls_(tree, std::move(where), memory), tree_(tree) {}

    /// Reads one pickle and returns its value; a following call reads the next one.
    PickleValue read() {
        stack_.clear();
        marks_.clear();
        memo_.clear();
        while (step()) {
        }
        auto const result = pop();
        tree_.root = result;
        return {tree_, result};
    }

    /// Bytes consumed so far.
    std::size_t position() const { return position_; }

private:
    using Index = std::uint32_t;
    using Items = std::vector<Index>;

    /// Runs one instruction; false after the last one.
    bool step() {
        auto const opcode = static_cast<unsigned char>(take(1)[0]);
        switch (opcode) {
        case 0x80: // PROTO
            if (auto const protocol = number<std::uint8_t>(); protocol < 2 || protocol > 5)
                fail("protocol ", +protocol, ", known are 2 to 5");
            return true;
        case 0x95: // FRAME
            take(8);
            return true;
        case '.':
            return false;
        case '(':
            calls_.charge(sizeof(std::size_t));
            marks_.push_back(stack_.size());
            return true;
        case '0':
            if (!marks_.empty() && marks_.back() == stack_.size())
                marks_.pop_back();
            else
                pop();
            return true;
        case '1':
            pop_mark();
            return true;
        case '2':
            push(top());
            return true;
        default:
            return scalar(opcode) || container(opcode) || memo(opcode) || call(opcode);
        }
    }

    bool scalar(unsigned char opcode) {
        switch (opcode) {
        case 'N':
            return push_new(PickleKind::none, std::int64_t{0});
        case 0x88:
            return push_new(PickleKind::boolean, std::int64_t{1});
        case 0x89:
            return push_new(PickleKind::boolean, std::int64_t{0});
        case 'J':
            return push_new(PickleKind::integer, std::int64_t{number<std::int32_t>()});
        case 'K':
            return push_new(PickleKind::integer, std::int64_t{number<std::uint8_t>()});
        case 'M':
            return push_new(PickleKind::integer, std::int64_t{number<std::uint16_t>()});
        case 0x8A: // LONG1
            return push_long(take(number<std::uint8_t>()));
        case 0x8B: // LONG4
            return push_long(take(number<std::uint32_t>()));
        case 'G': {
            std::uint64_t bits = 0;
            for (std::byte const byte : take(8))
                bits = bits << 8 | static_cast<std::uint64_t>(byte);
            return push_new(PickleKind::real, std::bit_cast<double>(bits));
        }
        case 'X': // BINUNICODE
        case 'T': // BINSTRING
            return push_text(PickleKind::string, number<std::uint32_t>());
        case 0x8C: // SHORT_BINUNICODE
        case 'U':  // SHORT_BINSTRING
            return push_text(PickleKind::string, number<std::uint8_t>());
        case 0x8D: // BINUNICODE8
            return push_text(PickleKind::string, number<std::uint64_t>());
        case 'C': // SHORT_BINBYTES
            return push_text(PickleKind::bytes, number<std::uint8_t>());
        case 'B': // BINBYTES
            return push_text(PickleKind::bytes, number<std::uint32_t>());
        case 0x8E: // BINBYTES8
        case 0x96: // BYTEARRAY8
            return push_text(PickleKind::bytes, number<std::uint64_t>());
        default:
            return false;
        }
    }

    bool container(unsigned char opcode) {
        switch (opcode) {
        case '}':
            return push_new(PickleKind::dict, Items{});
        case ']':
            return push_new(PickleKind::list, Items{});
        case ')':
            return push_new(PickleKind::tuple, Items{});
        case 0x8F: // EMPTY_SET
            return push_new(PickleKind::set, Items{});
        case 0x85: // TUPLE1 to TUPLE3
        case 0x86:
        case 0x87:
            return push_new(PickleKind::tuple, pop_items(opcode - 0x84u));
        case 't':
            return push_new(PickleKind::tuple, pop_mark());
        case 'l':
            return push_new(PickleKind::list, pop_mark());
        case 0x91: // FROZENSET
            return push_new(PickleKind::set, pop_mark());
        case 'd': {
            auto items = pop_mark();
            check_pairs(items);
            return push_new(PickleKind::dict, std::move(items));
        }
        case 'a':
            return extend(PickleKind::list, pop_items(1));
        case 'e':
            return extend(PickleKind::list, pop_mark());
        case 's':
            return extend(PickleKind::dict, pop_items(2));
        case 'u':
            return extend(PickleKind::dict, pop_mark());
        case 0x90: // ADDITEMS
            return extend(PickleKind::set, pop_mark());
        default:
            return false;
        }
    }

    bool memo(unsigned char opcode) {
        switch (opcode) {
        case 'q':
            return remember(number<std::uint8_t>());
        case 'r':
            return remember(number<std::uint32_t>());
        case 0x94: // MEMOIZE
            return remember(static_cast<std::uint32_t>(memo_.size()));
        case 'h':
            return recall(number<std::uint8_t>());
        case 'j':
            return recall(number<std::uint32_t>());
        default:
            return false;
        }
    }

    bool call(unsigned char opcode) {
        switch (opcode) {
        case 'c': // GLOBAL
        case 'i': // INST
        {
            auto const scope = line();
            return push(calls_.global(scope, line()));
        }
        case 0x93: { // STACK_GLOBAL
            auto const names = pop_items(2);
            return push(calls_.global(calls_.text(names[0], "a module name"),
                                      calls_.text(names[1], "the name of a global")));
        }
        case 'Q': // BINPERSID
            return push(calls_.storage(pop()));
        case 'R':    // REDUCE
        case 0x81: { // NEWOBJ
            auto const parts = pop_items(2);
            return push(calls_.apply(parts[0], parts[1]));
        }
        case 'b': { // BUILD: only OrderedDict carries a state, torch's `_metadata`
            pop();
            if (tree_.nodes[top()].kind != PickleKind::dict)
                fail("a state is set on ", name_of(tree_.nodes[top()].kind));
            return true;
        }
        default:
            fail("instruction ", +opcode, " at byte ", position_ - 1,
                 " is unknown or not one that torch.save writes");
        }
    }

    template <class... Parts>
    [[noreturn]] void fail(Parts const&... parts) const {
        calls_.fail(parts...);
    }

    std::span<std::byte const> take(std::uint64_t size) {
        if (size > bytes_.size() - position_)
            fail("it ends in the middle, at byte ", bytes_.size(), "; the file may be incomplete");
        auto const piece = bytes_.subspan(position_, static_cast<std::size_t>(size));
        position_ += piece.size();
        return piece;
    }

    template <class T>
    T number() {
        return detail::load_unaligned<T>(take(sizeof(T)).data());
    }

    std::string line() {
        std::string result;
        for (;;) {
            auto const character = static_cast<char>(take(1)[0]);
            if (character == '\n')
                return result;
            if (result.size() == 1024)
                fail("the name of a global is longer than 1024 bytes");
            result += character;
        }
    }

    bool push(Index index) {
        calls_.charge(sizeof(Index));
        stack_.push_back(index);
        return true;
    }

    template <class Content>
    bool push_new(PickleKind kind, Content content) {
        return push(calls_.add(kind, std::move(content)));
    }

    bool push_text(PickleKind kind, std::uint64_t size) {
        auto const piece = take(size);
        return push_new(kind,
                        std::string(reinterpret_cast<char const*>(piece.data()), piece.size()));
    }

    bool push_long(std::span<std::byte const> digits) {
        if (digits.size() > 255)
            fail("an integer of ", digits.size(), " bytes");
        if (digits.size() > sizeof(std::int64_t))
            return push_new(PickleKind::big_integer, detail::decimal_text(digits));
        std::uint64_t bits = 0;
        for (std::size_t i = digits.size(); i-- > 0;)
            bits = bits << 8 | static_cast<std::uint64_t>(digits[i]);
        std::size_t const unused = 64 - 8 * digits.size();
        auto const value = digits.empty() ? std::int64_t{0}
                                          : std::bit_cast<std::int64_t>(bits << unused) >> unused;
        return push_new(PickleKind::integer, value);
    }

    /// Items above the innermost mark must not be taken from below it.
    std::size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }

    Index top() const {
        if (available() == 0)
            fail("it takes a value where there is none, near byte ", position_);
        return stack_.back();
    }

    Index pop() {
        auto const index = top();
        stack_.pop_back();
        return index;
    }

    Items pop_items(std::size_t count) {
        if (available() < count)
            fail("it takes ", count, " values where there are ", available(), ", near byte ",
                 position_);
        Items items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
        stack_.resize(stack_.size() - count);
        return items;
    }

    Items pop_mark() {
        if (marks_.empty())
            fail("a mark is missing, near byte ", position_);
        auto items = pop_items(available());
        marks_.pop_back();
        return items;
    }

    void check_pairs(Items const& items) const {
        if (items.size() % 2 != 0)
            fail("a key without a value, near byte ", position_);
    }

    bool extend(PickleKind kind, Items const& items) {
        auto& node = tree_.nodes[top()];
        if (node.kind != kind)
            fail("items of ", name_of(kind), " are added to ", name_of(node.kind), ", near byte ",
                 position_);
        if (kind == PickleKind::dict)
            check_pairs(items);
        calls_.charge(2 * sizeof(Index) * items.size());
        auto& all = std::get<Items>(node.content);
        all.insert(all.end(), items.begin(), items.end());
        return true;
    }

    bool remember(Index place) {
        calls_.charge(48);
        memo_[place] = top();
        return true;
    }

    bool recall(Index place) {
        auto const found = memo_.find(place);
        if (found == memo_.end())
            fail("it recalls value ", place, ", which was not stored, near byte ", position_);
        return push(found->second);
    }

    std::span<std::byte const> bytes_;
    std::size_t position_ = 0;
    detail::PickleCalls calls_;
    PickleTree& tree_;
    Items stack_;
    std::vector<std::size_t> marks_;
    std::unordered_map<Index, Index> memo_;
};

} // namespace blip
