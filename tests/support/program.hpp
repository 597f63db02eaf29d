#pragma once

#include <support/catch.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace program_test {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

inline std::string const photos = std::string(BLIP_SOURCE_DIR) + "/examples/photos";

inline std::string read(fs::path const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline Words lines_of(std::string const& text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

/// A folder that lives as long as the test.
struct Folder {
    fs::path path =
        fs::temp_directory_path() / ("blip_program_" + std::to_string(std::random_device{}()));
    Folder() { fs::create_directories(path); }
    Folder(Folder const&) = delete;
    Folder& operator=(Folder const&) = delete;
    ~Folder() { fs::remove_all(path); }
    std::string operator/(std::string const& name) const { return (path / name).string(); }
};

/// The program as a child process; what it prints goes to files. `prepare` runs in the child.
class Program {
public:
    Program(std::string const& path, Folder const& folder, Words words, void (*prepare)() = nullptr)
        : out_(folder / "stdout"), error_(folder / "stderr") {
        words.insert(words.begin(), path);
        std::vector<char*> arguments;
        for (auto& word : words)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        fs::remove(out_);
        fs::remove(error_);
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        child_ = ::fork();
        REQUIRE(child_ >= 0);
        if (child_ == 0) {
            int const flags = O_WRONLY | O_CREAT | O_TRUNC;
            ::dup2(ends[0], 0);
            ::dup2(::open(out_.c_str(), flags, 0600), 1);
            ::dup2(::open(error_.c_str(), flags, 0600), 2);
            if (prepare)
                prepare();
            ::execv(arguments[0], arguments.data());
            ::_exit(127);
        }
        ::close(ends[0]);
        input_ = ends[1];
    }
    Program(Program const&) = delete;
    Program& operator=(Program const&) = delete;
    ~Program() {
        if (child_ > 0)
            end(SIGKILL);
    }

    void type(std::string const& text) const {
        REQUIRE(::write(input_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    int end(int signal) {
        ::kill(child_, signal);
        return wait();
    }
    int wait() {
        ::close(input_);
        int status = 0;
        ::waitpid(child_, &status, 0);
        child_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    /// Waits until that many lines are printed.
    void await_lines(std::size_t count) const {
        for (int i = 0; i < 3000 && lines_of(out()).size() < count; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        REQUIRE(lines_of(out()).size() == count);
    }
    std::string out() const { return read(out_); }
    std::string error() const { return read(error_); }

private:
    std::string out_, error_;
    pid_t child_ = 0;
    int input_ = -1;
};

struct Result {
    int status;
    std::string out, error;
};

inline Result run(std::string const& program_path, Folder const& folder, Words words) {
    Program program(program_path, folder, std::move(words));
    int const status = program.wait();
    return {status, program.out(), program.error()};
}

inline Words pictures() {
    Words names;
    for (auto const& entry : fs::directory_iterator(photos))
        if (entry.path().extension() == ".jpg" || entry.path().extension() == ".png")
            names.push_back(entry.path().string());
    std::sort(names.begin(), names.end());
    return names;
}

inline Words operator+(Words left, Words const& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
}

/// Checks that a program ends with status 2, prints no result and says `must_say`.
inline void check_mistake(std::string const& program_path, Words words,
                          std::string const& must_say) {
    Folder const folder;
    auto const result = run(program_path, folder, std::move(words));
    CHECK(result.status == 2);
    CHECK(result.out == "");
    INFO(result.error);
    CHECK(result.error.find(must_say) != std::string::npos);
}

} // namespace program_test
