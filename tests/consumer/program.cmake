# The program every CMake consumer builds once it has blip.
set(CMAKE_CXX_EXTENSIONS OFF)
set(consumer_folder "${CMAKE_CURRENT_LIST_DIR}")
add_executable(consumer "${consumer_folder}/sized.cpp" "${consumer_folder}/consumer.cpp")
target_link_libraries(consumer PRIVATE blip::blip)
blip_optimize(consumer)
blip_model_config(TARGET consumer NAME consumer_model JSON "${consumer_folder}/config.json" IMAGE_SIZE 96)
blip_add_models(consumer)
