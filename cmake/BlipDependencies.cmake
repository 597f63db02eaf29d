# What blip needs, and what to say when it is missing. The project's own build and the installed
# package share this file.

# _blip_require(PACKAGE DEBIAN ARGS...): find_package(PACKAGE ARGS...), or fail with the remedy.
macro(_blip_require package debian)
    find_package(${package} ${ARGN} QUIET)
    if(NOT ${package}_FOUND)
        list(
            APPEND
            _blip_missing
            "  ${package} ${ARGN} (Debian and Ubuntu: apt-get install ${debian}; elsewhere: add its prefix to CMAKE_PREFIX_PATH)"
        )
    endif()
endmacro()

# blip_find_dependencies([OPTIONAL] COMPONENTS...) finds the packages behind blip::core, blip::blip,
# blip::video, blip::faiss and blip::cuda. A macro, because imported targets must reach the caller's directory. Sets
# BLIP_MISSING_DEPENDENCIES to a readable list; outside find_package a missing one is fatal.
macro(blip_find_dependencies)
    set(_blip_wanted ${ARGN})
    set(_blip_missing "")
    if("core" IN_LIST _blip_wanted)
        set(THREADS_PREFER_PTHREAD_FLAG ON)
        _blip_require(Threads libc6-dev)
        _blip_require(xtl xtl-dev)
        _blip_require(xtensor libxtensor-dev 0.24)
    endif()
    if("blip" IN_LIST _blip_wanted)
        _blip_require(nlohmann_json nlohmann-json3-dev 3.10)
        _blip_require(utf8proc libutf8proc-dev)
        _blip_require(JPEG libjpeg-dev)
        _blip_require(PNG libpng-dev)
        _blip_require(ZLIB zlib1g-dev)
        find_package(WebP QUIET)
    endif()
    if("video" IN_LIST _blip_wanted)
        if("OPTIONAL" IN_LIST _blip_wanted)
            find_package(Libav QUIET)
        else()
            _blip_require(Libav "libavformat-dev libavcodec-dev libswscale-dev")
        endif()
    endif()
    if("faiss" IN_LIST _blip_wanted)
        # Its package names OpenMP's target without looking for it.
        find_package(OpenMP QUIET COMPONENTS CXX)
        if("OPTIONAL" IN_LIST _blip_wanted)
            if(OpenMP_CXX_FOUND)
                find_package(faiss QUIET)
            endif()
        else()
            _blip_require(OpenMP "g++ or libomp-dev" COMPONENTS CXX)
            _blip_require(faiss libfaiss-dev)
        endif()
    endif()
    if("cuda" IN_LIST _blip_wanted)
        if("OPTIONAL" IN_LIST _blip_wanted)
            find_package(CUDAToolkit QUIET)
        else()
            _blip_require(CUDAToolkit nvidia-cuda-toolkit)
        endif()
    endif()
    list(JOIN _blip_missing "\n" BLIP_MISSING_DEPENDENCIES)
    if(_blip_missing AND NOT CMAKE_FIND_PACKAGE_NAME STREQUAL "blip")
        message(FATAL_ERROR "blip needs packages that were not found:\n${BLIP_MISSING_DEPENDENCIES}")
    endif()
endmacro()
