# Compile-time sizes of the golden cases: <blip/model/golden_CASE.hpp> for each case with a
# config.json, and <blip/model/golden_cases.hpp>, which says which of them exist.

file(GLOB configs CONFIGURE_DEPENDS "${BLIP_GOLDEN_DIR}/*/config.json")
set(includes "")
set(defines "")
set(lists "")
foreach(config IN LISTS configs)
    cmake_path(GET config PARENT_PATH folder)
    cmake_path(GET folder FILENAME case)
    string(MAKE_C_IDENTIFIER "${case}" case)
    blip_model_config(TARGET blip_test_support NAME golden_${case} JSON "${config}")
    # The same model at every image size that the case was run with.
    file(READ "${config}" text)
    string(JSON count ERROR_VARIABLE missing LENGTH "${text}" blip image_sizes_used)
    set(names "")
    if(NOT missing AND count GREATER 0)
        math(EXPR last "${count} - 1")
        foreach(i RANGE ${last})
            string(JSON size GET "${text}" blip image_sizes_used ${i})
            blip_model_config(
                TARGET blip_test_support
                NAME golden_${case}_at_${size}
                JSON "${config}"
                IMAGE_SIZE ${size}
            )
            string(APPEND includes "#include <blip/model/golden_${case}_at_${size}.hpp>\n")
            list(APPEND names golden_${case}_at_${size})
        endforeach()
    endif()
    list(JOIN names ", " names)
    string(APPEND lists "using golden_${case}_sizes = ModelList<${names}>;\n")
    string(TOUPPER "${case}" upper)
    string(APPEND includes "#include <blip/model/golden_${case}.hpp>\n")
    string(APPEND defines "#define BLIP_HAS_GOLDEN_${upper} 1\n")
endforeach()

file(
    CONFIGURE
    OUTPUT "${CMAKE_BINARY_DIR}/blip_models/blip_test_support/blip/model/golden_cases.hpp"
    @ONLY
    CONTENT "#pragma once\n\n#include <blip/config/presets.hpp>\n${includes}\n${defines}\nnamespace blip::config {\n${lists}} // namespace blip::config\n"
)
