# blip_optimize(TARGET) compiles TARGET for speed: the one place that holds the chosen flags.
#
# Results stay IEEE exact up to fused multiply-add: no reassociation, no flush to zero, no
# reciprocal approximations. With BLIP_NATIVE the program uses every instruction of the machine
# that compiles it and does not run on older processors; it says so when started there.

option(BLIP_NATIVE "blip_optimize() may use every instruction of this machine's processor" OFF)

# g++ 12 tunes for Zen 3 in a way that halves the speed of Eigen's matrix product; with the same
# instructions and generic tuning it runs as fast as clang's.
function(_blip_native_flags result)
    set(flags -march=native)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        execute_process(
            COMMAND "${CMAKE_CXX_COMPILER}" -march=native -Q --help=target
            OUTPUT_VARIABLE target_help
            ERROR_QUIET
        )
        if(target_help MATCHES "-mtune=[ \t]+znver")
            list(APPEND flags -mtune=generic)
        endif()
    endif()
    set(${result} ${flags} PARENT_SCOPE)
endfunction()

function(blip_optimize target)
    if(NOT CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang" OR MSVC)
        return()
    endif()
    get_target_property(type ${target} TYPE)
    set(scope PRIVATE)
    if(type STREQUAL "INTERFACE_LIBRARY")
        set(scope INTERFACE)
    endif()
    # Nobody reads errno or the floating-point exception flags, and both keep loops scalar.
    set(flags -O3 -fno-math-errno -fno-trapping-math)
    if(BLIP_NATIVE)
        if(NOT DEFINED BLIP_NATIVE_FLAGS)
            _blip_native_flags(native)
            set(BLIP_NATIVE_FLAGS "${native}" CACHE INTERNAL "Instruction-set flags of blip_optimize()")
        endif()
        list(APPEND flags ${BLIP_NATIVE_FLAGS})
    endif()
    target_compile_options(${target} ${scope} "$<$<COMPILE_LANGUAGE:CXX>:${flags}>")
    foreach(flag IN LISTS flags)
        target_compile_options(${target} ${scope} "$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Xcompiler=${flag}>")
    endforeach()
endfunction()
