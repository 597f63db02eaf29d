# Headers, exported targets, package files and blip.pc; not installed itself.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/blip")

install(
    DIRECTORY "${PROJECT_SOURCE_DIR}/include/blip"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    FILES_MATCHING
    PATTERN "*.hpp"
    PATTERN "*.cuh"
)

foreach(component IN ITEMS core blip video faiss cuda)
    if(TARGET blip_${component})
        install(TARGETS blip_${component} EXPORT blip-${component}-targets)
        install(EXPORT blip-${component}-targets NAMESPACE blip:: DESTINATION "${package_dir}")
    endif()
endforeach()

configure_package_config_file(
    "${PROJECT_SOURCE_DIR}/cmake/blip-config.cmake.in" "${PROJECT_BINARY_DIR}/blip-config.cmake"
    INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO
)
write_basic_package_version_file(
    "${PROJECT_BINARY_DIR}/blip-config-version.cmake" COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT
)
install(
    FILES "${PROJECT_BINARY_DIR}/blip-config.cmake"
          "${PROJECT_BINARY_DIR}/blip-config-version.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/BlipDependencies.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/BlipModelConfig.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/BlipOptimize.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/FindLibav.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/Findutf8proc.cmake"
          "${PROJECT_SOURCE_DIR}/cmake/FindWebP.cmake"
    DESTINATION "${package_dir}"
)

set(pc_requires "xtl, xtensor >= 0.24, nlohmann_json >= 3.10, libutf8proc, libjpeg, libpng, zlib")
set(pc_cflags "")
if(BLIP_WEBP AND WebP_FOUND)
    string(APPEND pc_requires ", libwebp")
    set(pc_cflags " -DBLIP_HAS_WEBP=1")
endif()
configure_file("${PROJECT_SOURCE_DIR}/cmake/blip.pc.in" "${PROJECT_BINARY_DIR}/blip.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/blip.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/blip")
