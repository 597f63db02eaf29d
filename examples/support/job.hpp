#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <blip/vision/image.hpp>
#include <blip/vision/preprocess.hpp>

#include "common_arguments.hpp"
#include "item.hpp"
#include "record.hpp"

namespace support {

/// An item on its way through the program.
struct Work {
    Item item;
    std::vector<Record> records;        ///< one for each of Job::keys
    std::vector<float> pixels;          ///< of all its pictures; empty: nothing to compute
    std::vector<blip::ImageSize> sizes; ///< of its pictures as they were read
    std::vector<blip::Image> images;    ///< only where Job::prepare keeps them
    bool skipped = false;               ///< has its results from an earlier run

    bool waits = false; ///< for the model, though it has no picture

    bool computes() const { return waits || !pixels.empty(); }
    /// Gives every record this error.
    void fail(std::string const& error) {
        pixels.clear();
        waits = false;
        for (auto& record : records)
            record.error = error;
    }
};

/// What a program does with its items; all else is the same for every program.
class Job {
public:
    virtual ~Job() = default;
    /// The keys of the item's records.
    virtual std::vector<Key> keys(Item const& item) const { return {item.paths}; }
    /// Whether nothing is to be done for this item.
    virtual bool is_done(Item const& item) const {
        static_cast<void>(item);
        return false;
    }
    /// Reads and resizes; called by several threads at a time. What it throws becomes the error of
    /// the item's records.
    virtual void prepare(Work& work) const = 0;
    /// Fills the records of all of `batch`, whose items are in order.
    virtual void compute(std::span<Work* const> batch) = 0;
    /// Whether compute() may fail for one item's own sake: its error is the item's then.
    virtual bool fails_by_item() const { return false; }
    /// Writes what belongs beside a record's picture; before the record, so that a killed run
    /// leaves no record without it. Returns why that was not possible, or nothing. Throws
    /// FileError.
    virtual std::string write_beside(Record const& record) const {
        static_cast<void>(record);
        return {};
    }
    /// Called in order, after the item's records were written.
    virtual void finished(Work const& work) { static_cast<void>(work); }
};

/// How pictures become pixels.
struct PictureOptions {
    blip::Preprocess preprocess;
    bool upright = false;    ///< turned as the camera noted
    bool thumbnails = false; ///< for pages
    bool keep_images = false;
};

/// Reads all pictures of an item, one after another, into `work.pixels`. Throws blip::Error.
void read_pictures(Work& work, PictureOptions const& options);

/// The pixels of a batch as the models take them, [pictures, 3, side, side]: of picture `only` of
/// each item where that is not negative.
blip::Pixels gather_pixels(std::span<Work* const> batch, std::size_t side, int only = -1);

/// A picture as a small data: address for a page.
std::string thumbnail_of(blip::Image const& image);

/// The same for a picture file; empty where it cannot be read.
std::string thumbnail_of(std::string const& path, bool upright);

/// Calls f(some of `batch`) until all had their turn, so that the items of a call are numbered one
/// after another, which draws at random ask for. All at once unless `numbered`.
template <class F>
void for_each_numbered(std::span<Work* const> batch, bool numbered, F const& f) {
    while (!batch.empty()) {
        std::size_t count = 1;
        while (count < batch.size() &&
               (!numbered || batch[count]->item.index == batch[0]->item.index + count))
            ++count;
        f(batch.first(count));
        batch = batch.subspan(count);
    }
}

/// How a Run goes about its work.
struct RunOptions {
    std::string program;                                   ///< its name, for messages
    std::size_t batch = 8;                                 ///< items that are computed together
    std::size_t threads = 0;                               ///< that compute; 0: all
    std::string one = "picture", many = "pictures";        ///< what an item is
    std::string nothing_found = nothing_found_text();      ///< the error where there are no items
    bool resumable = false;                                ///< whether the run can be continued
    std::string resumed_by = "--resume (without --force)"; ///< and by which option
    bool records = true; ///< false: there is no output but what the job itself writes

    static std::string nothing_found_text() {
        return "no pictures found: folders are searched for .jpg, .png, .bmp, .gif and .webp "
               "files, subfolders with --recursive only";
    }
};

/// Runs a program over all its items into all its outputs; returns the exit status. Throws
/// FileError and FormatError for outputs that cannot be written or continued, and what `items`
/// throws.
int run_job(Job& job, ItemSource& items, CommonArguments const& a, Schema const& schema,
            RecordedOptions const& recorded, RunOptions options,
            PageLayout layout = PageLayout::cards);

} // namespace support
