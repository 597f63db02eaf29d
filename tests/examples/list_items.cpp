#include "support/catch.hpp"

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "../../examples/support/list_items.hpp"

namespace {

using support::Item;

/// What comes out of a list with this text, a line an item.
std::vector<std::string> items_of(std::string const& text, std::string const& root = "") {
    auto const path = std::filesystem::temp_directory_path() /
                      ("blip_list_" + std::to_string(std::random_device{}()));
    std::ofstream(path, std::ios::binary) << text;
    std::vector<std::string> found;
    auto const list = support::list_items(
        path.string(), root,
        [](support::ListRow const& row) {
            return Item{.paths = {row.text({"image", "path"})}, .texts = {row.text({"question"})}};
        },
        Item{.paths = {""}, .texts = {""}});
    auto const count = list->count({});
    while (auto const item = list->next()) {
        CHECK(item->index == found.size());
        found.push_back(item->error.empty() ? item->paths.front() + "|" + item->texts.front()
                                            : "error" + item->error.substr(path.string().size()));
    }
    CHECK(count == found.size());
    std::filesystem::remove(path);
    return found;
}

using Found = std::vector<std::string>;

} // namespace

TEST_CASE("a list may be lines of objects, an array, or CSV") {
    Found const expected{"a.jpg|what, \"then\"?", "b c.png|who\nis it"};
    CHECK(items_of("{\"image\":\"a.jpg\",\"question\":\"what, \\\"then\\\"?\"}\r\n\n"
                   "  {\"question\":\"who\\nis it\",\"path\":\"b c.png\"}") == expected);
    CHECK(items_of("\n[{\"image\":\"a.jpg\",\"question\":\"what, \\\"then\\\"?\"},"
                   "{\"question\":\"who\\nis it\",\"image\":\"b c.png\"}]\n") == expected);
    CHECK(items_of("id,image,question\r\n1,a.jpg,\"what, \"\"then\"\"?\"\r\n"
                   "2,b c.png,\"who\nis it\"") == expected);
    CHECK(items_of("\xEF\xBB\xBFid,image,question\n1,a.jpg,q\n") == Found{"a.jpg|q"});
    CHECK(items_of("\xEF\xBB\xBF[{\"image\":\"a.jpg\",\"question\":\"q\"}]") == Found{"a.jpg|q"});
    CHECK_THROWS_AS(items_of("\xFF\xFEi"), blip::FormatError);
    CHECK(items_of("").empty());
    CHECK(items_of("[]").empty());
    CHECK(items_of("image,question\n").empty());
}

TEST_CASE("relative paths of a list start from its root") {
    CHECK(items_of("image,question\na.jpg,q\n/b.jpg,q\n", "/root") ==
          Found{"/root/a.jpg|q", "/b.jpg|q"});
}

TEST_CASE("an unusable entry says where it is, and the others are read") {
    CHECK(items_of("image,question\na,q\nb\nc,q\n") ==
          Found{"a|q", "error line 3: 1 fields where the first line names 2", "c|q"});
    CHECK(items_of("{\"image\":\"a\",\"question\":7}\n[1]\n{\"image\":\"c\"}\n{\n") ==
          Found{"a|7", "error line 2: not a JSON object, {\"...\": ...}",
                "error line 3: no \"question\" with text. There is: image",
                "error line 4: not a JSON object, {\"...\": ...}"});
    CHECK(items_of("[{\"image\":\"a\",\"question\":\"q\"},3]") ==
          Found{"a|q", "error entry 2: not a JSON object, {\"...\": ...}"});
    CHECK(items_of("[{\"image\":\"a\",\"question\":\"q\"},{\"image\":") ==
          Found{"a|q", "error entry 2: the list ends within this element. Is the file complete? "
                       "Get a good copy, or mend the list there."});
    CHECK(items_of("[{\"image\":\"a\",\"question\":\"q\"} 3]").size() == 2);
    CHECK(items_of("image,question\na,q\nb,\"q\n").back() ==
          "error line 3: a quote is never closed");
    CHECK_THROWS_AS(items_of("[{\"image\": \"" + std::string(1 << 21, 'x')), blip::LimitError);
    CHECK_THROWS_AS(items_of("{" + std::string(1 << 21, 'x')), blip::LimitError);
}
