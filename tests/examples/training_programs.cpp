#include "support/catch.hpp"

#if defined(BLIP_FINETUNE_CAPTION_PROGRAM) && __has_include(<sys/wait.h>)

#include <fstream>
#include <initializer_list>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <blip/model/golden_cases.hpp>

#include "../../examples/scenes/scene.hpp"
#include "training_runs.hpp"

namespace {

using namespace training_test;
using nlohmann::json;

std::size_t count_of(std::string const& text, std::string const& part) {
    std::size_t count = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++count;
    return count;
}

} // namespace

TEST_CASE("The same scenes are drawn every time", "[examples][training]") {
    Scenes const first, second;
    auto const list = json::parse(read(first.test));
    REQUIRE(list.size() == 12);
    for (auto const& scene : list) {
        CHECK(scene["caption"].size() >= 1);
        CHECK(fs::exists(fs::path(first.test).parent_path() / std::string(scene["image"])));
    }
    CHECK(read(first.test) == read(second.test));
    auto const shard = "/scenes-000000.tar";
    CHECK(read(first.train + shard).size() > 60 * 1024);
    CHECK(read(first.train + shard) == read(second.train + shard));
}

TEST_CASE("The model in the repository describes scenes that it has never seen",
          "[examples][training]") {
    Folder const folder;
    auto const root = std::string(BLIP_SOURCE_DIR) + "/examples/scenes/";
    auto const result = run(BLIP_CAPTION_PROGRAM, folder, {root + "model", root + "pictures"});
    INFO(result.error);
    REQUIRE(result.status == 0);
    int right = 0, all = 0;
    for (auto const& line : lines_of(result.out)) {
        auto const at = line.find("/scene-");
        if (at == line.npos)
            continue;
        auto const number = std::stoul(line.substr(at + 7, 2));
        for (auto const& caption : scenes::draw_scene(1, scenes::Split::scenes, number).captions())
            right += line.ends_with(caption) ? 1 : 0;
        ++all;
    }
    CHECK(all == 12);
    CHECK(right >= 11);
}

TEST_CASE("A captioner is trained, resumed and used", "[examples][training]") {
    Scenes const scenes;
    auto const whole = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                           scenes.command(sizes, "run",
                                          {"--steps", "8", "--validation", scenes.test,
                                           "--validate-every", "4", "--checkpoint-every", "4"}));
    INFO(whole.error);
    REQUIRE(whole.status == 0);
    CHECK(whole.error.find("60 items, 4 a step") != std::string::npos);
    CHECK(count_of(whole.error, "validation words") == 2);

    auto const log = lines_of(read(scenes.folder / "run/log.csv"));
    REQUIRE(log.size() == 9);
    CHECK(log[0] == "step,loss,rate,norm,seconds,waited");
    auto const loss = [&](std::size_t row) {
        return std::stod(log[row].substr(log[row].find(',') + 1));
    };
    CHECK(loss(8) < loss(1));
    auto const page = read(scenes.folder / "run/index.html");
    CHECK(count_of(page, "<polyline") >= 3);
    CHECK(count_of(page, "<figure") == 12);
    CHECK(page.find("http-equiv=\"refresh\"") == std::string::npos);

    // Threads and a stop in the middle cannot be seen in the weights.
    auto const expected = scenes.weights("run");
    REQUIRE(expected.size() > 1000000);
    auto const threads = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                             scenes.command(sizes, "one", {"--steps", "8", "--threads", "1"}));
    REQUIRE(threads.status == 0);
    CHECK(scenes.weights("one") == expected);

    auto const again = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                           scenes.command(sizes, "run", {"--steps", "8"}));
    CHECK(again.status == 2);
    CHECK(again.error.find("there is a run already") != std::string::npos);
    auto const other = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                           scenes.command(sizes, "run", {"--steps", "9", "--resume"}));
    CHECK(other.status == 2);
    CHECK(other.error.find("steps was 8 and is 9") != std::string::npos);

    // As much data under the same name, with other captions.
    auto const drawn =
        run(BLIP_SCENES_PROGRAM, scenes.folder,
            {scenes.folder / "scenes", "--train", "60", "--test", "12", "--seed", "2"});
    REQUIRE(drawn.status == 0);
    auto const other_texts = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                                 scenes.command(sizes, "one", {"--steps", "8", "--resume"}));
    CHECK(other_texts.status == 2);
    CHECK(other_texts.error.find("begun with other data: of 60 items") != std::string::npos);

    auto const more = scenes.folder / "more";
    fs::create_directories(more);
    fs::copy(scenes.train, more, fs::copy_options::recursive);
    fs::copy_file(fs::path(more) / "scenes-000000.tar", fs::path(more) / "scenes-000060.tar");
    fs::rename(scenes.train, scenes.train + ".old");
    fs::rename(more, scenes.train);
    auto const changed = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                             scenes.command(sizes, "one", {"--steps", "8", "--resume"}));
    CHECK(changed.status == 2);
    CHECK(changed.error.find("begun with 60 items and now there are 120") != std::string::npos);

    // What was trained is a model like any other.
    auto const used = run(BLIP_CAPTION_PROGRAM, scenes.folder,
                          {scenes.folder / "run/best", scenes.folder / "scenes/test_scenes"});
    INFO(used.error);
    CHECK(used.status == 0);
    CHECK(lines_of(used.out).size() == 12);
}

TEST_CASE("Training stops before bad numbers reach the weights", "[examples][training]") {
    Scenes const scenes;
    auto const contrast = run(BLIP_PRETRAIN_PROGRAM, scenes.folder,
                              {momentum_sizes,
                               "--scratch",
                               "--data",
                               scenes.train,
                               "-o",
                               scenes.folder / "contrast",
                               "--batch",
                               "4",
                               "--accumulate",
                               "1",
                               "--steps",
                               "40",
                               "--schedule",
                               "constant",
                               "--learning-rate",
                               "1e20",
                               "--text-length",
                               "16",
                               "--checkpoint-every",
                               "1"});
    INFO(contrast.error);
    CHECK(contrast.status == 2);
    CHECK(contrast.error.find("--learning-rate") != std::string::npos);
    CHECK(fs::exists(scenes.folder / "contrast/checkpoints/step-00000001.safetensors"));
    CHECK(!fs::exists(scenes.folder / "contrast/checkpoints/step-00000004.safetensors"));

    auto const result =
        run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
            {sizes, "--scratch", "--data", scenes.train, "-o", scenes.folder / "run", "--batch",
             "4", "--steps", "40", "--schedule", "constant", "--learning-rate", "1e20"});
    CHECK(result.status == 2);
    INFO(result.error);
    CHECK(result.error.find("The batch was:") != std::string::npos);
    CHECK(result.error.find("scenes-000000.tar") != std::string::npos);
    CHECK(result.error.find("--learning-rate") != std::string::npos);
}

TEST_CASE("Broken items are named and skipped, up to a limit", "[examples][training]") {
    Scenes const scenes;
    auto list = json::parse(read(scenes.test));
    list[3]["image"] = "test_scenes/nowhere.png";
    list[5].erase("caption");
    std::ofstream(fs::path(scenes.test).parent_path() / "broken.json") << list.dump();
    auto const data = (fs::path(scenes.test).parent_path() / "broken.json").string();
    auto const command = [&](std::string const& output, std::string const& limit) {
        return Words{sizes,     "--data", data,           "-o", scenes.folder / output,
                     "--steps", "6",      "--max-broken", limit} +
               quick;
    };
    auto const skipped = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder, command("skipped", "2"));
    INFO(skipped.error);
    CHECK(skipped.status == 0);
    CHECK(count_of(skipped.error, "nowhere.png") == 1);
    CHECK(count_of(skipped.error, "element 6") == 1);
    // Resumed where the first was met already, the second is still the second.
    for (auto const& more :
         {Words{"--checkpoint-every", "1"}, Words{"--checkpoint-every", "1", "--resume"}}) {
        auto const refused =
            run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder, command("refused", "1") + more);
        INFO(refused.error);
        CHECK(refused.status == 2);
        CHECK(refused.error.find("2 items were broken since the run began, more than the 1 that "
                                 "--max-broken allows") != std::string::npos);
    }

    auto const judged = [&](std::string const& output, std::string const& limit) {
        return run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                   Words{sizes, "--data", scenes.train, "--validation", data, "-o",
                         scenes.folder / output, "--steps", "2", "--max-broken", limit} +
                       quick);
    };
    auto const passed = judged("passed", "2");
    INFO(passed.error);
    CHECK(passed.status == 0);
    CHECK(count_of(passed.error, "validation, skipped: ") == 2);
    auto const hopeless = judged("hopeless", "1");
    CHECK(hopeless.status == 2);
    CHECK(fs::exists(scenes.folder / "hopeless/checkpoints/step-00000002.safetensors"));
    CHECK(hopeless.error.find("validation: 2 items cannot be used, more than the 1") !=
          std::string::npos);
}

TEST_CASE("Averaged weights are what is validated and exported", "[examples][training]") {
    Scenes const scenes;
    auto const train = [&](std::string const& output, Words const& more) {
        auto const result =
            run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                scenes.command(sizes, output,
                               Words{"--steps", "8", "--validation", scenes.test} + more));
        INFO(result.error);
        REQUIRE(result.status == 0);
        // Of one validation, at the end, the model is the best and the last.
        CHECK(read(scenes.folder / (output + "/best/model.safetensors")) == scenes.weights(output));
    };
    train("plain", {});
    train("averaged", {"--average", "0.9"});
    auto const losses = [&](std::string const& output) {
        Words rows;
        for (auto const& line : lines_of(read(scenes.folder / (output + "/log.csv"))))
            rows.push_back(line.substr(0, line.find(',', line.find(',') + 1)));
        return rows;
    };
    // What is learnt is the same; what is shown is not.
    CHECK(losses("averaged") == losses("plain"));
    CHECK(scenes.weights("averaged") != scenes.weights("plain"));
    // A mean in which what was before weighs nothing is the weights themselves.
    train("last", {"--average", "1e-30"});
    CHECK(scenes.weights("last") == scenes.weights("plain"));
}

TEST_CASE("A plan says memory and time, and trains nothing", "[examples][training]") {
    Scenes const scenes;
    auto const result = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                            scenes.command(sizes, "run", {"--epochs", "2", "--plan"}));
    INFO(result.error);
    CHECK(result.status == 0);
    CHECK(result.error.find("15 steps an epoch, 30 steps in all") != std::string::npos);
    CHECK(result.error.find("a checkpoint:") != std::string::npos);
    CHECK(!fs::exists(scenes.folder / "run"));
}

TEST_CASE("A config file changes the recipe, the command line the file", "[examples][training]") {
    Scenes const scenes;
    auto const file = scenes.folder / "config.json";
    std::ofstream(file) << R"({"steps": 3, "batch": 5, "data": "scenes/train"})";
    auto const result = run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
                            {sizes, "--scratch", "--config", file, "--batch", "6", "-o",
                             scenes.folder / "run", "--plan"});
    INFO(result.error);
    CHECK(result.status == 0);
    CHECK(result.error.find("48 a step (8 x 6)") != std::string::npos);
    CHECK(result.error.find("3 steps in all") != std::string::npos);
    std::ofstream(file) << R"({"step": 3})";
    check_mistake(BLIP_FINETUNE_CAPTION_PROGRAM,
                  {sizes, "--scratch", "--config", file, "-o", scenes.folder / "run"},
                  "no value is called \"step\"; did you mean \"steps\"?");
    std::ofstream(file) << R"({"task": "VQA"})";
    check_mistake(BLIP_FINETUNE_CAPTION_PROGRAM,
                  {sizes, "--scratch", "--config", file, "-o", scenes.folder / "run"},
                  "the plan of another program: \"task\" is \"VQA\", expected \"caption\"");
    std::ofstream(file) << R"({"batch": 4294967297})";
    check_mistake(BLIP_FINETUNE_CAPTION_PROGRAM,
                  {sizes, "--scratch", "--config", file, "-o", scenes.folder / "run"},
                  "\"batch\" is 4294967297, expected");
    for (auto const& [option, value] :
         std::initializer_list<std::pair<char const*, char const*>>{{"--patience", "-1"},
                                                                    {"--max-broken", "-1"},
                                                                    {"--threads", "-1"},
                                                                    {"--alpha", "2"},
                                                                    {"--momentum", "2"},
                                                                    {"--dropout", "1"},
                                                                    {"--log-every", "0"}}) {
        INFO(option);
        check_mistake(BLIP_FINETUNE_CAPTION_PROGRAM,
                      Words{sizes, "--scratch", "--data", scenes.train, "-o", scenes.folder / "run",
                            option, value},
                      option);
    }

    // A run's own record repeats it, from random weights where it began so.
    auto const begun =
        run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
            without(scenes.command(sizes, "begun", {"--steps", "2"}), "--prompt", "") +
                Words{"--prompt", "a "});
    INFO(begun.error);
    REQUIRE(begun.status == 0);
    CHECK(read(fs::path(scenes.folder / "begun/last/config.json")).find("\"prompt\": \"a \"") !=
          std::string::npos);
    // Trained further it keeps its prompt, unless another is given.
    auto const further =
        run(BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
            {scenes.folder / "begun/last", "--data", scenes.train, "-o", scenes.folder / "further",
             "--steps", "1", "--batch", "4", "--accumulate", "1"});
    INFO(further.error);
    CHECK(read(fs::path(scenes.folder / "further/last/config.json")).find("\"prompt\": \"a \"") !=
          std::string::npos);
    auto const repeated = run(
        BLIP_FINETUNE_CAPTION_PROGRAM, scenes.folder,
        {sizes, "--config", scenes.folder / "begun/plan.json", "-o", scenes.folder / "repeated"});
    INFO(repeated.error);
    REQUIRE(repeated.status == 0);
    CHECK(scenes.weights("repeated") == scenes.weights("begun"));
}

TEST_CASE("Pre-training gives a captioner and a matcher", "[examples][training]") {
    Scenes const scenes;
    auto const trained = run(BLIP_PRETRAIN_PROGRAM, scenes.folder,
                             scenes.command(momentum_sizes, "run",
                                            {"--steps", "4", "--validation", scenes.test,
                                             "--text-length", "16", "--rerank", "4"}));
    INFO(trained.error);
    REQUIRE(trained.status == 0);
    CHECK(lines_of(read(scenes.folder / "run/log.csv"))[0].starts_with("step,loss,itc,itm,lm,"));
    CHECK(trained.error.find("recall mean") != std::string::npos);
    auto const captions =
        run(BLIP_CAPTION_PROGRAM, scenes.folder,
            {scenes.folder / "run/last/captioner", scenes.folder / "scenes/test_scenes"});
    CHECK(captions.status == 0);
    CHECK(lines_of(captions.out).size() == 12);
    // The parts of what goes on training are those that were written for use.
    auto const all = scenes.folder / "run/last/pretrained";
    auto const undecided = run(BLIP_EXPORT_MODEL_PROGRAM, scenes.folder, {all, all + ".pth"});
    CHECK(undecided.status == 2);
    CHECK(undecided.error.find("choose --part captioner or --part matcher") != std::string::npos);
    for (std::string const part : {"captioner", "matcher"}) {
        auto const output = scenes.folder / part;
        auto const result =
            run(BLIP_EXPORT_MODEL_PROGRAM, scenes.folder, {all, output, "--part", part});
        INFO(result.error);
        CHECK(result.status == 0);
        for (char const* name : {"model.safetensors", "config.json", "vocab.txt"})
            CHECK(read(fs::path(output) / name) ==
                  read(fs::path(scenes.folder / "run/last") / part / name));
    }
    auto const tuned =
        run(BLIP_FINETUNE_RETRIEVAL_PROGRAM, scenes.folder,
            Words{scenes.folder / "run/last/pretrained", "--data", scenes.train, "-o",
                  scenes.folder / "tuned", "--steps", "2", "--batch", "4", "--accumulate", "2"});
    INFO(tuned.error);
    CHECK(tuned.status == 0);
    CHECK(fs::exists(scenes.folder / "tuned/last/model.safetensors"));

    // What training itself would refuse step after step is told before it begins.
    check_mistake(BLIP_PRETRAIN_PROGRAM,
                  without(scenes.command(momentum_sizes, "odd", {}), "--batch", "") +
                      Words{"--batch", "12"},
                  "is 12 items a step, but the feature queue's 1024 entries must be a multiple of "
                  "that; the next smaller number that fits is 8");
    check_mistake(BLIP_PRETRAIN_PROGRAM,
                  without(scenes.command(momentum_sizes, "odd", {}), "--prompt", "") +
                      Words{"--prompt", "a picture of "},
                  "pre-training learns captions without one");
}

TEST_CASE("Lists of easy-VQA give no answer away by its wording", "[examples][training]") {
    Folder const folder;
    for (char const* part : {"train", "test"})
        fs::create_directories(folder.path / "data" / part);
    auto questions = json::array();
    for (int picture = 0; picture < 40; ++picture) {
        bool const red = picture % 8 == 0;
        questions.push_back({"is there a red shape?", red ? "yes" : "no", picture});
        questions.push_back({"is there not a red shape?", red ? "no" : "yes", picture});
        questions.push_back({"what color is the shape?", red ? "red" : "blue", picture});
        questions.push_back({"what shape is present?", "circle", picture});
    }
    for (char const* part : {"train", "test"})
        std::ofstream(folder.path / "data" / part / "questions.json") << questions.dump();
    auto const convert = [&](Words const& more) {
        return run(BLIP_EASY_VQA_PROGRAM, folder, Words{folder / "data", folder / "lists"} + more);
    };
    auto const count = [&](std::string const& list, std::string const& question,
                           std::string const& answer) {
        int found = 0;
        for (auto const& entry : json::parse(read(folder / "lists/" + list)))
            found += entry["question"] == question && entry["answer"] == answer ? 1 : 0;
        return found;
    };
    auto const done = convert({});
    INFO(done.error);
    REQUIRE(done.status == 0);
    CHECK(count("train.json", "is there a red shape?", "yes") == 5 * 7 * 4);
    CHECK(count("train.json", "is there a red shape?", "no") == 35 * 4);
    CHECK(count("train.json", "is there not a red shape?", "no") == 5 * 7);
    CHECK(count("train.json", "is there not a red shape?", "yes") == 35);
    CHECK(count("train.json", "what color is the shape?", "blue") == 35 * 4);
    CHECK(count("train.json", "what shape is present?", "circle") == 40 * 10);
    CHECK(json::parse(read(folder / "lists/test.json")).size() == questions.size());

    // Pictures that are held back are not learnt from.
    REQUIRE(convert({"--validation", "10", "--repeat-shapes", "1"}).status == 0);
    CHECK(json::parse(read(folder / "lists/validation.json")).size() == 40);
    CHECK(count("train.json", "what shape is present?", "circle") == 30);
    CHECK(count("validation.json", "what shape is present?", "circle") == 10);
    REQUIRE(convert({}).status == 0);
    CHECK(!fs::exists(folder / "lists/validation.json"));

    auto const all = convert({"--validation", "40"});
    CHECK(all.status == 2);
    CHECK(all.error.find("leaves none of the 40 training pictures") != std::string::npos);
    questions.push_back({"what shape is present?", "circle", 5000000000});
    std::ofstream(folder.path / "data/train/questions.json") << questions.dump();
    auto const broken = convert({});
    CHECK(broken.status == 2);
    CHECK(broken.error.find("element 161 is no [question, answer") != std::string::npos);
}

#if BLIP_HAS_GOLDEN_VQA
TEST_CASE("Answers are learnt", "[examples][training][golden]") {
    Scenes const scenes;
    auto const trained = run(BLIP_FINETUNE_VQA_PROGRAM, scenes.folder,
                             scenes.command(std::string(BLIP_GOLDEN_DIR) + "/vqa", "run",
                                            {"--steps", "4", "--validation", scenes.test}));
    INFO(trained.error);
    CHECK(trained.status == 0);
    CHECK(trained.error.find("validation words") != std::string::npos);
    CHECK(fs::exists(scenes.folder / "run/best/model.safetensors"));
}
#endif

#if BLIP_HAS_GOLDEN_NLVR
TEST_CASE("Sentences about pairs are learnt", "[examples][training][golden]") {
    Scenes const scenes;
    auto const list = json::parse(read(scenes.test));
    auto pairs = json::array();
    for (std::size_t i = 0; i + 1 < list.size(); ++i)
        pairs.push_back({{"images", {list[i]["image"], list[i + 1]["image"]}},
                         {"sentence", "the left picture shows a circle"},
                         {"label", i % 2 == 0 ? "True" : "False"}});
    auto const data = scenes.folder / "scenes/pairs.json";
    std::ofstream(data) << pairs.dump();
    auto const trained = run(BLIP_FINETUNE_NLVR2_PROGRAM, scenes.folder,
                             Words{std::string(BLIP_GOLDEN_DIR) + "/nlvr", "--data", data, "-o",
                                   scenes.folder / "run", "--steps", "4", "--validation", data} +
                                 quick);
    INFO(trained.error);
    CHECK(trained.status == 0);
    CHECK(trained.error.find("validation accuracy") != std::string::npos);
    CHECK(fs::exists(scenes.folder / "run/last/config.json"));
}
#endif

#endif
