# Libraries from the system that the programs use, other than gRPC.
# Programs link them from archives or as headers, so that ldd shows libc alone.

# invact_static_library(<out> <name>): the archive lib<name>.a.
function(invact_static_library out name)
  find_library(INVACT_ARCHIVE_${name} NAMES lib${name}.a)
  mark_as_advanced(INVACT_ARCHIVE_${name})
  set(${out} ${INVACT_ARCHIVE_${name}} PARENT_SCOPE)
endfunction()

# spdlog, all of it in headers: Debian's archive of it does not exist.
add_library(invact_log INTERFACE)
find_path(INVACT_SPDLOG_INCLUDE spdlog/spdlog.h)
target_include_directories(invact_log SYSTEM INTERFACE
  $<$<BOOL:${INVACT_SPDLOG_INCLUDE}>:${INVACT_SPDLOG_INCLUDE}>)
target_compile_definitions(invact_log INTERFACE
  SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)

add_library(invact_sqlite INTERFACE)
invact_static_library(sqlite_archive sqlite3)
invact_static_library(zlib_archive z)
if(sqlite_archive)
  target_link_libraries(invact_sqlite INTERFACE
    ${sqlite_archive} $<$<BOOL:${zlib_archive}>:${zlib_archive}> m
    ${CMAKE_DL_LIBS} Threads::Threads)
endif()

# zstd, for blobs in the database.
add_library(invact_zstd INTERFACE)
invact_static_library(zstd_archive zstd)
if(zstd_archive)
  target_link_libraries(invact_zstd INTERFACE ${zstd_archive})
endif()

# CLI11, nlohmann-json and toml++ are headers in the default include path.
