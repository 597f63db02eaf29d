# What every program of this repository is compiled with; not installed.

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(blip_warnings INTERFACE)
set(warnings -Wall -Wextra -Wshadow -Wconversion -Werror)
target_compile_options(
    blip_warnings
    INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU,Clang,AppleClang>:${warnings};-Wpedantic>"
              # g++ 12 sees uninitialised members in every moved std::variant and std::optional, and
              # overlapping copies where a literal and a temporary string are joined.
              "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized;-Wno-restrict>"
              "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=all-warnings>"
)
# g++ spends a fifth of a large unit's time collecting garbage, long before memory is short.
target_compile_options(
    blip_warnings
    INTERFACE "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:SHELL:--param ggc-min-expand=400 --param ggc-min-heapsize=1000000>"
)

if(BLIP_SANITIZE)
    add_compile_options("-fsanitize=${BLIP_SANITIZE}" -fno-omit-frame-pointer -fno-sanitize-recover=all)
    add_link_options("-fsanitize=${BLIP_SANITIZE}")
endif()

if(BLIP_CUDA)
    if(NOT TARGET blip::cuda)
        message(FATAL_ERROR "BLIP_CUDA is ON but the CUDA toolkit was not found. "
                            "Install it, name it with -DCUDAToolkit_ROOT=FOLDER, or set BLIP_CUDA=OFF.")
    endif()
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
        set(CMAKE_CUDA_ARCHITECTURES 80 90)
    endif()
    enable_language(CUDA)
    # Everything that nvcc compiles; with it alone a machine without a device checks the CUDA code.
    add_custom_target(cuda_programs)
endif()

# blip_add_cuda_program(NAME SOURCE): one program that nvcc compiles.
function(blip_add_cuda_program name source)
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE blip_warnings blip::cuda)
    blip_optimize(${name})
    blip_add_models(${name})
    add_dependencies(cuda_programs ${name})
endfunction()

# blip_add_program(NAME SOURCES...): one program of this repository, optimised, with the model sizes
# of BLIP_MODELS.
function(blip_add_program name)
    add_executable(${name} ${ARGN})
    target_link_libraries(${name} PRIVATE blip_warnings blip::blip)
    if(CMAKE_BUILD_TYPE STREQUAL "Release")
        blip_optimize(${name})
    endif()
    blip_add_models(${name})
endfunction()
