# Compile-time sizes of the golden cases: <blip/model/golden_CASE.hpp> for each case with a
# config.json, <blip/model/golden_cases.hpp>, which says which of them exist, and
# <blip/model/golden_shapes.hpp> for the cases without a model.

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

# blip_golden_size(RESULT case tensor i): dimension i of a tensor of the case's inputs, as its
# file's header has it; 1 where there is no such case.
function(blip_golden_size result case tensor dimension)
    set(file "${BLIP_GOLDEN_DIR}/${case}/inputs.safetensors")
    set(size 1)
    if(EXISTS "${file}")
        set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
        # The header's length comes first, in 8 bytes of which the lowest is the first.
        file(READ "${file}" bytes LIMIT 4 HEX)
        string(REGEX REPLACE "^(..)(..)(..)(..)$" "0x\\4\\3\\2\\1" length "${bytes}")
        math(EXPR length "${length}")
        file(READ "${file}" header OFFSET 8 LIMIT ${length})
        string(JSON size GET "${header}" ${tensor} shape ${dimension})
    endif()
    set(${result} ${size} PARENT_SCOPE)
endfunction()

blip_golden_size(width losses raw_image 1)
blip_golden_size(vocabulary losses lm_logits 2)
blip_golden_size(old_vocabulary losses_torch_1_10_0 lm_logits 2)
blip_golden_size(count schedules adamw0.start 0)
file(
    CONFIGURE
    OUTPUT "${CMAKE_BINARY_DIR}/blip_models/blip_test_support/blip/model/golden_shapes.hpp"
    @ONLY
    CONTENT "#pragma once

namespace blip::test {

/// Sizes of golden inputs that types want at compile time.
inline constexpr int golden_losses_width = @width@;
inline constexpr int golden_losses_vocabulary = @vocabulary@;
inline constexpr int golden_losses_torch_1_10_0_vocabulary = @old_vocabulary@;
inline constexpr int golden_schedules_count = @count@;

} // namespace blip::test
"
)
