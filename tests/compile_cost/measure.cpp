// measure SECONDS MIB COMMAND...: runs the command; fails when it fails, takes more processor
// seconds in user mode, or when one of its processes takes more memory. Waiting for other programs
// does not count; as they share caches and cores, the better of two runs does.

#include <cstdio>
#include <cstdlib>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct Cost {
    int status;
    double seconds;
    double mib;
};

Cost run(char** command) {
    pid_t const child = ::fork();
    if (child == 0) {
        ::execvp(command[0], command);
        std::perror(command[0]);
        ::_exit(127);
    }
    int status = -1;
    rusage used{};
    // Counts what the command has waited for too: a compiler is a driver and its helpers.
    if (child < 0 || ::wait4(child, &status, 0, &used) != child)
        return {-1, 0, 0};
    return {status,
            static_cast<double>(used.ru_utime.tv_sec) +
                static_cast<double>(used.ru_utime.tv_usec) * 1e-6,
            static_cast<double>(used.ru_maxrss) / 1024};
}

} // namespace

int main(int count, char** arguments) {
    if (count < 4) {
        std::fprintf(stderr, "usage: measure SECONDS MIB COMMAND...\n");
        return 2;
    }
    double const seconds = std::atof(arguments[1]), mib = std::atof(arguments[2]);
    for (int attempt = 0; attempt < 2; ++attempt) {
        Cost const cost = run(arguments + 3);
        if (cost.status != 0) {
            std::fprintf(stderr, "measure: %s failed\n", arguments[3]);
            return 1;
        }
        std::printf("%.2f s of at most %g s (user mode), %.0f MiB of at most %g MiB\n",
                    cost.seconds, seconds, cost.mib, mib);
        if (cost.seconds <= seconds && cost.mib <= mib)
            return 0;
    }
    return 1;
}
