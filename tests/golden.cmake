# Compile-time sizes of the golden cases: <blip/model/golden_CASE.hpp> for each case with a
# config.json, and <blip/model/golden_cases.hpp>, which says which of them exist.

file(GLOB configs CONFIGURE_DEPENDS "${BLIP_GOLDEN_DIR}/*/config.json")
set(includes "")
set(defines "")
foreach(config IN LISTS configs)
    cmake_path(GET config PARENT_PATH folder)
    cmake_path(GET folder FILENAME case)
    string(MAKE_C_IDENTIFIER "${case}" case)
    blip_model_config(TARGET blip_test_support NAME golden_${case} JSON "${config}")
    string(TOUPPER "${case}" upper)
    string(APPEND includes "#include <blip/model/golden_${case}.hpp>\n")
    string(APPEND defines "#define BLIP_HAS_GOLDEN_${upper} 1\n")
endforeach()

file(
    CONFIGURE
    OUTPUT "${CMAKE_BINARY_DIR}/blip_models/blip_test_support/blip/model/golden_cases.hpp"
    @ONLY
    CONTENT "#pragma once\n\n${includes}\n${defines}"
)
