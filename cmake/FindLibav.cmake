# Finds libavformat, libavcodec, libavutil and libswscale, whose Debian packages have no CMake files.
# Defines Libav::libav, all four together.
set(_libav_required "")
set(_libav_libraries "")
foreach(_libav_part IN ITEMS avformat avcodec swscale avutil)
    find_path(Libav_${_libav_part}_INCLUDE_DIR "lib${_libav_part}/${_libav_part}.h")
    find_library(Libav_${_libav_part}_LIBRARY NAMES ${_libav_part})
    mark_as_advanced(Libav_${_libav_part}_INCLUDE_DIR Libav_${_libav_part}_LIBRARY)
    list(APPEND _libav_required Libav_${_libav_part}_LIBRARY Libav_${_libav_part}_INCLUDE_DIR)
    list(APPEND _libav_libraries "${Libav_${_libav_part}_LIBRARY}")
endforeach()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libav REQUIRED_VARS ${_libav_required})

if(Libav_FOUND AND NOT TARGET Libav::libav)
    add_library(Libav::libav INTERFACE IMPORTED)
    set_target_properties(
        Libav::libav
        PROPERTIES INTERFACE_LINK_LIBRARIES "${_libav_libraries}"
                   INTERFACE_INCLUDE_DIRECTORIES "${Libav_avformat_INCLUDE_DIR}"
    )
endif()
unset(_libav_required)
unset(_libav_libraries)
unset(_libav_part)
