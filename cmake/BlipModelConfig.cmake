# Compile-time model sizes from Hugging Face config.json files.
#
#   blip_model_config(TARGET target NAME my_model JSON path/config.json [IMAGE_SIZE pixels])
#       writes <blip/model/my_model.hpp> with blip::config::my_model and puts it on target's path.
#   blip_add_models(target)
#       puts <blip/model/built_in.hpp> on target's path: blip::config::built_in_models, the list of
#       the sizes found in the folders of the cache variable BLIP_MODELS; and built_in_captioners,
#       built_in_matchers, ...: those that this kind of model may read, built_in_retrievers and
#       built_in_pretrainers: those that can be trained so.
#
# Keys that a config.json leaves out take the class defaults of transformers 5.23.0. Settings that
# are not sizes (epsilons, label smoothing, special ids) are read when a model is loaded.

include_guard(GLOBAL)

set(BLIP_MODELS "" CACHE STRING "Model folders (with a config.json) whose sizes every program serves")

# _blip_json_object(RESULT FILE JSON KEY): the object JSON[KEY] as text; empty where absent or null.
function(_blip_json_object result file json key)
    string(JSON type ERROR_VARIABLE absent TYPE "${json}" "${key}")
    set(${result} "" PARENT_SCOPE)
    if(absent OR type STREQUAL "NULL")
        return()
    endif()
    if(NOT type STREQUAL "OBJECT")
        message(FATAL_ERROR "blip_model_config: ${file}: \"${key}\" must be an object, found ${type}")
    endif()
    string(JSON object GET "${json}" "${key}")
    set(${result} "${object}" PARENT_SCOPE)
endfunction()

# _blip_json_size(RESULT FILE WHERE JSON KEY DEFAULT): the positive integer JSON[KEY], or DEFAULT.
function(_blip_json_size result file where json key default)
    set(${result} "${default}" PARENT_SCOPE)
    if(json STREQUAL "")
        return()
    endif()
    string(JSON type ERROR_VARIABLE absent TYPE "${json}" "${key}")
    if(absent OR type STREQUAL "NULL")
        return()
    endif()
    string(JSON value GET "${json}" "${key}")
    if(NOT type STREQUAL "NUMBER" OR NOT value MATCHES "^[0-9]+$")
        message(FATAL_ERROR "blip_model_config: ${file}: \"${where}${key}\" must be a whole number, "
                            "found ${type} ${value}")
    endif()
    string(LENGTH "${value}" digits)
    if(digits GREATER 9 OR value LESS 1)
        message(FATAL_ERROR "blip_model_config: ${file}: \"${where}${key}\" must be between 1 and "
                            "999999999, found ${value}")
    endif()
    set(${result} "${value}" PARENT_SCOPE)
endfunction()

function(_blip_require_divides file what width how divisor)
    math(EXPR rest "${width} % ${divisor}")
    if(rest)
        message(FATAL_ERROR "blip_model_config: ${file}: ${what} ${width} must be a multiple of ${how} ${divisor}")
    endif()
endfunction()

# _blip_write_model_config(OUTPUT NAME FILE IMAGE_SIZE)
function(_blip_write_model_config output name file image_size)
    if(NOT name MATCHES "^[A-Za-z][A-Za-z0-9_]*$")
        message(FATAL_ERROR "blip_model_config: NAME must be a C++ identifier, found \"${name}\"")
    endif()
    if(NOT EXISTS "${file}" OR IS_DIRECTORY "${file}")
        message(FATAL_ERROR "blip_model_config: ${file}: no such file; "
                            "JSON must name the config.json of a model folder")
    endif()
    file(SIZE "${file}" bytes)
    if(bytes GREATER 1048576)
        message(FATAL_ERROR "blip_model_config: ${file}: a config.json of at most 1048576 bytes expected, "
                            "found ${bytes} bytes")
    endif()
    file(READ "${file}" json)
    string(JSON root_type ERROR_VARIABLE error TYPE "${json}")
    if(error)
        message(FATAL_ERROR "blip_model_config: ${file}: not valid JSON: ${error}")
    endif()
    if(NOT root_type STREQUAL "OBJECT")
        message(FATAL_ERROR "blip_model_config: ${file}: a JSON object expected, found ${root_type}")
    endif()
    string(JSON model_type ERROR_VARIABLE no_type GET "${json}" model_type)
    if(NOT no_type AND NOT model_type STREQUAL "blip")
        message(FATAL_ERROR "blip_model_config: ${file}: \"model_type\" must be \"blip\", found \"${model_type}\"")
    endif()

    _blip_json_object(vision "${file}" "${json}" vision_config)
    _blip_json_object(text "${file}" "${json}" text_config)
    _blip_json_object(extra "${file}" "${json}" blip)
    # A plain config.json may leave both parts to their defaults. One that says more in "blip" may
    # describe a network of one part.
    set(has_vision TRUE)
    set(has_text TRUE)
    if(extra AND NOT vision AND NOT text)
        message(FATAL_ERROR "blip_model_config: ${file}: \"vision_config\" or \"text_config\" expected, "
                            "found neither")
    elseif(extra AND NOT vision)
        set(has_vision FALSE)
    elseif(extra AND NOT text)
        set(has_text FALSE)
    endif()

    set(body "    static constexpr char const* name = \"${name}\";\n")
    if(has_vision)
        set(w "vision_config.")
        _blip_json_size(image "${file}" ${w} "${vision}" image_size 384)
        _blip_json_size(patch "${file}" ${w} "${vision}" patch_size 16)
        _blip_json_size(width "${file}" ${w} "${vision}" hidden_size 768)
        _blip_json_size(depth "${file}" ${w} "${vision}" num_hidden_layers 12)
        _blip_json_size(heads "${file}" ${w} "${vision}" num_attention_heads 12)
        _blip_json_size(hidden "${file}" ${w} "${vision}" intermediate_size 3072)
        set(vision_width ${width})
        if(image_size)
            set(image ${image_size})
        endif()
        _blip_require_divides("${file}" "image size" ${image} "${w}patch_size" ${patch})
        _blip_require_divides("${file}" "${w}hidden_size" ${width} "${w}num_attention_heads" ${heads})
        string(APPEND body
            "    struct vision {\n"
            "        static constexpr int image = ${image}, patch = ${patch}, width = ${width}, depth = ${depth},\n"
            "                             heads = ${heads}, hidden = ${hidden}, recompute = 0;\n"
            "    };\n")
    endif()
    if(has_text)
        set(w "text_config.")
        _blip_json_size(vocabulary "${file}" ${w} "${text}" vocab_size 30524)
        _blip_json_size(positions "${file}" ${w} "${text}" max_position_embeddings 512)
        _blip_json_size(width "${file}" ${w} "${text}" hidden_size 768)
        _blip_json_size(depth "${file}" ${w} "${text}" num_hidden_layers 12)
        _blip_json_size(heads "${file}" ${w} "${text}" num_attention_heads 8)
        _blip_json_size(hidden "${file}" ${w} "${text}" intermediate_size 3072)
        if(width EQUAL 768 AND NOT heads EQUAL 12)
            message(WARNING "blip_model_config: ${file}: ${heads} text heads on width 768 is a known error of "
                            "early files (every published BLIP has 12); 12 is used")
            set(heads 12)
        endif()
        _blip_require_divides("${file}" "${w}hidden_size" ${width} "${w}num_attention_heads" ${heads})
        if(has_vision)
            set(encoder_width ${vision_width})
        else()
            _blip_json_size(encoder_width "${file}" ${w} "${text}" encoder_hidden_size 768)
        endif()
        _blip_json_size(encoder_width "${file}" "blip." "${extra}" question_encoder_cross_width ${encoder_width})
        string(APPEND body
            "    struct text {\n"
            "        static constexpr int vocabulary = ${vocabulary}, positions = ${positions}, width = ${width},\n"
            "                             depth = ${depth}, heads = ${heads}, hidden = ${hidden},\n"
            "                             encoder_width = ${encoder_width}, recompute = 0;\n"
            "    };\n")
    endif()
    _blip_json_size(projection "${file}" "" "${json}" image_text_hidden_size 256)
    string(APPEND body "    static constexpr int projection = ${projection};\n")
    foreach(pair IN ITEMS queue_size=queue merge_from_layer=merge_from)
        string(REPLACE "=" ";" pair "${pair}")
        list(GET pair 0 key)
        list(GET pair 1 member)
        _blip_json_size(value "${file}" "blip." "${extra}" ${key} "")
        if(value)
            string(APPEND body "    static constexpr int ${member} = ${value};\n")
        endif()
    endforeach()

    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    file(CONFIGURE OUTPUT "${output}" @ONLY CONTENT
"#pragma once

#include <blip/config/presets.hpp>

namespace blip::config {

/// Sizes of ${name}, from its config.json.
struct ${name} {
${body}};

} // namespace blip::config
")
endfunction()

function(_blip_include_generated target directory)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "INTERFACE_LIBRARY")
        target_include_directories(${target} INTERFACE "${directory}")
    else()
        target_include_directories(${target} PRIVATE "${directory}")
    endif()
endfunction()

function(blip_model_config)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET;NAME;JSON;IMAGE_SIZE" "")
    foreach(key IN ITEMS TARGET NAME JSON)
        if(NOT arg_${key})
            message(FATAL_ERROR "blip_model_config: ${key} is missing; expected "
                                "blip_model_config(TARGET target NAME name JSON file [IMAGE_SIZE pixels])")
        endif()
    endforeach()
    if(arg_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "blip_model_config: unknown argument \"${arg_UNPARSED_ARGUMENTS}\"")
    endif()
    if(NOT TARGET ${arg_TARGET})
        message(FATAL_ERROR "blip_model_config: TARGET ${arg_TARGET} does not exist; create it first")
    endif()
    if(DEFINED arg_IMAGE_SIZE AND NOT arg_IMAGE_SIZE MATCHES "^[1-9][0-9]?[0-9]?[0-9]?[0-9]?$")
        message(FATAL_ERROR "blip_model_config: IMAGE_SIZE must be a number of pixels between 1 and 99999, "
                            "found \"${arg_IMAGE_SIZE}\"")
    endif()
    get_filename_component(json "${arg_JSON}" ABSOLUTE BASE_DIR "${CMAKE_CURRENT_SOURCE_DIR}")
    set(directory "${CMAKE_BINARY_DIR}/blip_models/${arg_TARGET}")
    _blip_write_model_config("${directory}/blip/model/${arg_NAME}.hpp" "${arg_NAME}" "${json}" "${arg_IMAGE_SIZE}")
    _blip_include_generated(${arg_TARGET} "${directory}")
endfunction()

set(_blip_all_readers captioners matchers question_answerers pair_reasoners feature_extractors retrievers
                      pretrainers)

# _blip_model_readers(RESULT FILE): the kinds of models that read checkpoints like this config.json,
# by its "architectures" or by "task" in its "blip"; all kinds where neither is known.
function(_blip_model_readers result file)
    file(READ "${file}" json)
    _blip_json_object(extra "${file}" "${json}" blip)
    string(JSON task ERROR_VARIABLE no_task GET "${extra}" task)
    if(no_task)
        string(JSON task ERROR_VARIABLE no_task GET "${json}" architectures 0)
    endif()
    set(readers ${_blip_all_readers})
    if(task MATCHES "^(captioner|BlipForConditionalGeneration)$")
        set(readers captioners)
    elseif(task MATCHES "^(matcher|retriever|BlipForImageTextRetrieval)$")
        set(readers matchers feature_extractors retrievers)
    elseif(task MATCHES "^(question_answerer|BlipForQuestionAnswering)$")
        set(readers question_answerers)
    elseif(task STREQUAL "pair_reasoner")
        set(readers pair_reasoners)
    elseif(task STREQUAL "feature_extractor")
        set(readers feature_extractors)
    elseif(task STREQUAL "pretrainer")
        set(readers captioners matchers feature_extractors retrievers pretrainers)
    endif()
    # Training with a momentum teacher keeps a queue, whose length only such a file says.
    string(JSON queue ERROR_VARIABLE no_queue GET "${extra}" queue_size)
    if(no_queue)
        list(REMOVE_ITEM readers retrievers pretrainers)
    endif()
    set(${result} "${readers}" PARENT_SCOPE)
endfunction()

# _blip_write_model_list(DIRECTORY FOLDERS...): a header per folder, and built_in.hpp that lists them.
function(_blip_write_model_list directory)
    set(names "")
    set(includes "#include <blip/config/presets.hpp>\n")
    foreach(folder IN LISTS ARGN)
        get_filename_component(folder "${folder}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
        set(json "${folder}/config.json")
        if(NOT EXISTS "${json}")
            set(json "${folder}/model/config.json")
        endif()
        if(NOT EXISTS "${json}")
            message(FATAL_ERROR "BLIP_MODELS: ${folder}: neither config.json nor model/config.json is there; "
                                "each entry must be a folder of a model")
        endif()
        get_filename_component(base "${folder}" NAME)
        string(MAKE_C_IDENTIFIER "${base}" base)
        string(REGEX REPLACE "_+" "_" base "${base}")
        string(REGEX REPLACE "^_|_$" "" base "${base}")
        if(NOT base MATCHES "^[A-Za-z]")
            set(base "model_${base}")
        endif()
        # A name of the library, a keyword or another folder's name would clash: number it.
        set(name "${base}_sizes")
        set(number 2)
        while(name IN_LIST names)
            set(name "${base}_sizes_${number}")
            math(EXPR number "${number} + 1")
        endwhile()
        list(APPEND names ${name})
        _blip_write_model_config("${directory}/blip/model/${name}.hpp" ${name} "${json}" "")
        string(APPEND includes "#include <blip/model/${name}.hpp>\n")
        _blip_model_readers(readers "${json}")
        foreach(reader IN LISTS readers)
            list(APPEND read_by_${reader} ${name})
        endforeach()
    endforeach()
    list(JOIN names ", " list)
    set(lists "")
    foreach(reader IN LISTS _blip_all_readers)
        list(JOIN read_by_${reader} ", " some)
        string(APPEND lists "using built_in_${reader} = ModelList<${some}>;\n")
    endforeach()
    file(CONFIGURE OUTPUT "${directory}/blip/model/built_in.hpp" @ONLY CONTENT
"#pragma once

${includes}
namespace blip::config {

/// The model sizes this program was built with, beside the library's presets.
using built_in_models = ModelList<${list}>;

// Those of them whose config.json says that they are read so, or does not say how.
${lists}
} // namespace blip::config
")
endfunction()

function(blip_add_models target)
    set(directory "${CMAKE_BINARY_DIR}/blip_models/built_in")
    set(folders ${BLIP_MODELS} ${BLIP_EXAMPLE_MODELS})
    get_property(written GLOBAL PROPERTY _blip_written_models)
    if(NOT written STREQUAL "folders ${folders}")
        _blip_write_model_list("${directory}" ${folders})
        set_property(GLOBAL PROPERTY _blip_written_models "folders ${folders}")
    endif()
    _blip_include_generated(${target} "${directory}")
endfunction()
