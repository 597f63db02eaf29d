# For tests that call a compiler themselves: the list `compilers` of NAME=PATH, and the file `arguments`
# with the include path and definitions that a user of blip::blip gets, one a line.

add_library(compile_fail_paths OBJECT EXCLUDE_FROM_ALL compile_fail/self_test.cpp)
target_link_libraries(compile_fail_paths PRIVATE blip::blip)
set(arguments "${CMAKE_CURRENT_BINARY_DIR}/arguments")
file(
    GENERATE
    OUTPUT "${arguments}"
    CONTENT "-I$<JOIN:$<TARGET_PROPERTY:compile_fail_paths,INCLUDE_DIRECTORIES>,\n-I>\n-D$<JOIN:$<TARGET_PROPERTY:compile_fail_paths,COMPILE_DEFINITIONS>,\n-D>\n"
)

find_program(BLIP_GXX NAMES g++)
find_program(BLIP_CLANGXX NAMES clang++ clang++-14)
set(compilers "")
if(BLIP_GXX)
    list(APPEND compilers g++=${BLIP_GXX})
endif()
if(BLIP_CLANGXX)
    list(APPEND compilers clang++=${BLIP_CLANGXX})
endif()
if(BLIP_CUDA)
    list(APPEND compilers nvcc=${CMAKE_CUDA_COMPILER})
endif()
