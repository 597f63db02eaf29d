include("${CMAKE_CURRENT_LIST_DIR}/../../cmake/BlipModelConfig.cmake")
_blip_write_model_config("${OUTPUT}" a_model "${FILE}" "")
