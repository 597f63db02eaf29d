// A small user of the library that needs its headers and the libraries behind them.
#include <blip/core/error.hpp>
#include <blip/vision/read_image.hpp>

#include <cstdio>
#include <cstring>

#include "consumer.hpp"

int use_blip() {
    try {
        blip::read_image("no such picture.jpg");
    } catch (blip::FileError const& error) {
        return std::strstr(error.what(), "no such picture.jpg") ? 0 : 1;
    } catch (std::exception const& error) {
        std::puts(error.what());
    }
    return 1;
}

#ifdef BLIP_CONSUMER_MAIN
int main() {
    return use_blip();
}
#endif
