// expect: no_such_member
// max-lines: 5
#include <blip/core/error.hpp>

char const* message(blip::Error const& error) {
#ifdef BLIP_CORRECT
    return error.what();
#else
    return error.no_such_member(); // error
#endif
}
