#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include <blip/models/retriever.hpp>

#include "../support/model_choice.hpp"

namespace retrieve {

using Hits = std::vector<blip::Hit>;

/// A retriever of any size that is compiled in.
struct Model : support::AnyModel {
    /// Opens or makes the files that `add` writes to.
    virtual void open_writers(std::string const& index, std::string const& states,
                              blip::RowKind kind) = 0;
    virtual void add(blip::Pixels const& pixels, std::vector<std::string> const& labels) = 0;
    virtual void add(std::vector<std::string> const& texts) = 0;
    /// Throws TextError for a text that cannot be read.
    virtual void check(std::string const& text) const = 0;
    virtual std::uint64_t written() const = 0;
    /// The labels of an index file.
    virtual std::unordered_set<std::string> labels_of(std::string const& index) const = 0;
    /// Opens what is searched; `states` may be empty.
    virtual void open(std::string const& index, std::string const& states) = 0;
    virtual std::size_t size() const = 0;
    virtual bool holds_texts() const = 0;
    virtual std::vector<Hits> query(std::vector<std::string> const& texts,
                                    std::size_t top) const = 0;
    virtual std::vector<Hits> query(blip::Pixels const& pixels, std::size_t top) const = 0;
    /// Orders hits again by the match head, from stored states or from the picture files.
    virtual Hits rank(std::string const& text, Hits hits, bool upright) const = 0;
    /// Orders texts that were found for a picture again.
    virtual Hits rank(blip::Pixels const& pixels, Hits hits) const = 0;
};

/// Throws what `load_model` does.
std::unique_ptr<Model> load(support::CommonArguments const& a);

/// Writes the untrained model that the arguments ask for; see `write_random_model`.
int write_random(support::CommonArguments const& a);

} // namespace retrieve
