# Compiles SOURCE with what pkg-config says about the blip installed in PREFIX, and runs it.
set(ENV{PKG_CONFIG_PATH} "${PREFIX}/${DATADIR}/pkgconfig:$ENV{PKG_CONFIG_PATH}")
execute_process(
    COMMAND "${PKG_CONFIG}" --cflags --libs blip
    OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY
)
separate_arguments(flags UNIX_COMMAND "${flags}")
execute_process(
    COMMAND "${COMPILER}" -std=c++20 -DBLIP_CONSUMER_MAIN "${SOURCE}" -o "${PROGRAM}" ${flags}
    COMMAND_ERROR_IS_FATAL ANY
)
execute_process(COMMAND "${PROGRAM}" COMMAND_ERROR_IS_FATAL ANY)
