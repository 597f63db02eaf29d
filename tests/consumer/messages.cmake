# What a user reads when something is wrong: each case must fail and say why.

file(REMOVE_RECURSE "${WORK}")
set(broken FALSE)

# expect_error(TEXT COMMAND...): the command fails and its messages, unfolded, contain TEXT.
function(expect_error text)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    string(REGEX REPLACE "[ \n]+" " " unfolded "${output}")
    string(FIND "${unfolded}" "${text}" position)
    if(status EQUAL 0 OR position EQUAL -1)
        message("expected a failure that says: ${text}\nfound status ${status} and: ${unfolded}\n")
        set(broken TRUE PARENT_SCOPE)
    endif()
endfunction()

# expect_config_error(TEXT JSON): blip_model_config refuses the JSON and says TEXT.
macro(expect_config_error text json)
    file(WRITE "${WORK}/config.json" "${json}")
    expect_error(
        "${text}" "${CMAKE_COMMAND}" -DFILE=${WORK}/config.json -DOUTPUT=${WORK}/model.hpp
        -P "${CMAKE_CURRENT_LIST_DIR}/write_model.cmake"
    )
endmacro()

expect_config_error("not valid JSON" "{\"vision_config\": ")
expect_config_error("a JSON object expected, found ARRAY" "[1, 2]")
expect_config_error("\"vision_config\" must be an object, found NUMBER" "{\"vision_config\": 3}")
expect_config_error("\"vision_config.hidden_size\" must be a whole number, found STRING 768"
                    "{\"vision_config\": {\"hidden_size\": \"768\"}}")
expect_config_error("\"text_config.vocab_size\" must be a whole number, found NUMBER 1.5"
                    "{\"text_config\": {\"vocab_size\": 1.5}}")
expect_config_error("\"text_config.vocab_size\" must be between 1 and 999999999, found 0"
                    "{\"text_config\": {\"vocab_size\": 0}}")
expect_config_error("\"text_config.vocab_size\" must be between 1 and 999999999, found 99999999999"
                    "{\"text_config\": {\"vocab_size\": 99999999999}}")
expect_config_error("vision_config.hidden_size 100 must be a multiple of vision_config.num_attention_heads 12"
                    "{\"vision_config\": {\"hidden_size\": 100}}")
expect_config_error("image size 30 must be a multiple of vision_config.patch_size 16"
                    "{\"vision_config\": {\"image_size\": 30}}")
expect_config_error("\"model_type\" must be \"blip\", found \"bert\"" "{\"model_type\": \"bert\"}")
expect_error("no such file" "${CMAKE_COMMAND}" -DFILE=${WORK}/none.json -DOUTPUT=${WORK}/model.hpp
             -P "${CMAKE_CURRENT_LIST_DIR}/write_model.cmake")

# Eight heads on width 768 is repaired, with a warning.
file(WRITE "${WORK}/config.json" "{}")
execute_process(
    COMMAND "${CMAKE_COMMAND}" -DFILE=${WORK}/config.json -DOUTPUT=${WORK}/model.hpp
            -P "${CMAKE_CURRENT_LIST_DIR}/write_model.cmake"
    ERROR_VARIABLE warning COMMAND_ERROR_IS_FATAL ANY
)
string(REGEX REPLACE "[ \n]+" " " warning "${warning}")
file(READ "${WORK}/model.hpp" header)
if(NOT warning MATCHES "8 text heads on width 768" OR NOT header MATCHES "heads = 12, hidden = 3072,\n +encoder_width = 768")
    message("expected 12 heads and a warning, found: ${warning}\n${header}")
    set(broken TRUE)
endif()

# A project with a folder that is no model, and one that asks for a component there is not.
file(WRITE "${WORK}/project/CMakeLists.txt" "cmake_minimum_required(VERSION 3.25)
project(messages LANGUAGES CXX)
find_package(blip REQUIRED COMPONENTS \${COMPONENTS})
add_library(user INTERFACE)
blip_add_models(user)
")
set(configure "${CMAKE_COMMAND}" -S "${WORK}/project" -B "${WORK}/build" -G "${GENERATOR}"
              -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${PREFIX})
expect_error("neither config.json nor model/config.json is there"
             ${configure} -DCOMPONENTS=blip -DBLIP_MODELS=${WORK}/nothing)
expect_error("unknown component \"codecs\"; there are core, blip, video, faiss and cuda" ${configure} -DCOMPONENTS=codecs)
expect_error("blip needs packages that were not found: utf8proc" ${configure} --fresh -DCOMPONENTS=blip
             -DCMAKE_DISABLE_FIND_PACKAGE_utf8proc=ON)

if(broken)
    message(FATAL_ERROR "some messages are not as expected")
endif()
