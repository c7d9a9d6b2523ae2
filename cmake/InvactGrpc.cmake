# invact_grpc: gRPC, its reflection service, protobuf, abseil, OpenSSL, c-ares,
# re2, zlib, libstdc++ and libgcc from their archives, so that a program that
# links it needs libc and libm alone. invact_protoc(<out> files...) generates.
# The list of archives is pkg-config's; they refer to each other in circles,
# so they are one group.
set(INVACT_HAVE_GRPC OFF)
find_program(INVACT_PKG_CONFIG pkg-config)
find_program(INVACT_PROTOC protoc)
find_program(INVACT_GRPC_CPP_PLUGIN grpc_cpp_plugin)
# Asked once and kept: with gRPC's hundreds of dependencies an answer takes
# seconds, and CMake's own module asks a dozen times.
if(INVACT_PKG_CONFIG AND NOT INVACT_GRPC_FLAGS)
  foreach(prefix ${CMAKE_PREFIX_PATH})
    foreach(folder lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE})
      set(ENV{PKG_CONFIG_PATH}
        "${prefix}/${folder}/pkgconfig:$ENV{PKG_CONFIG_PATH}")
    endforeach()
  endforeach()
  execute_process(
    COMMAND ${INVACT_PKG_CONFIG} --static --cflags --libs grpc++ protobuf
    OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  set(INVACT_GRPC_FLAGS ${flags} CACHE INTERNAL "")
endif()
if(NOT INVACT_GRPC_FLAGS OR NOT INVACT_PROTOC OR NOT INVACT_GRPC_CPP_PLUGIN)
  message(STATUS "relay and daemon: OFF, gRPC for C++ is not installed "
    "(Debian: libgrpc++-dev protobuf-compiler-grpc; scripts/setup does it)")
  set(INVACT_BUILD_DAEMON OFF)
  return()
endif()
set(INVACT_HAVE_GRPC ON)

set(archives)
set(rest)
set(names ${INVACT_GRPC_FLAGS})
set(folders ${INVACT_GRPC_FLAGS})
set(includes ${INVACT_GRPC_FLAGS})
list(FILTER names INCLUDE REGEX "^-l")
list(FILTER folders INCLUDE REGEX "^-L")
list(FILTER includes INCLUDE REGEX "^-I")
list(TRANSFORM names REPLACE "^-l" "")
list(TRANSFORM folders REPLACE "^-L" "")
list(TRANSFORM includes REPLACE "^-I" "")
list(REMOVE_DUPLICATES names)
foreach(name grpc++_reflection grpc++_error_details ${names} crypto)
  if(name MATCHES "^absl_")
    continue()  # below, all of them
  endif()
  find_library(INVACT_ARCHIVE_${name} NAMES lib${name}.a HINTS ${folders})
  mark_as_advanced(INVACT_ARCHIVE_${name})
  if(name MATCHES "^(c|m|dl|rt|pthread)$")
    list(APPEND rest ${name})
  elseif(INVACT_ARCHIVE_${name})
    list(APPEND archives ${INVACT_ARCHIVE_${name}})
  elseif(NOT name STREQUAL "atomic")  # GCC's own, needed on no 64-bit machine
    message(WARNING "lib${name}.a, which gRPC's archives name, is missing: "
      "the programs may not link")
  endif()
endforeach()
find_library(INVACT_ARCHIVE_absl_strings NAMES libabsl_strings.a
  HINTS ${folders})
mark_as_advanced(INVACT_ARCHIVE_absl_strings)
if(INVACT_ARCHIVE_absl_strings)
  cmake_path(GET INVACT_ARCHIVE_absl_strings PARENT_PATH absl_dir)
  file(GLOB absl_archives ${absl_dir}/libabsl_*.a)
  list(FILTER absl_archives EXCLUDE REGEX "test|mock")
  list(APPEND archives ${absl_archives})
endif()
list(REMOVE_DUPLICATES archives)
list(REMOVE_DUPLICATES rest)
list(JOIN archives "," group)

add_library(invact_grpc INTERFACE)
target_include_directories(invact_grpc SYSTEM INTERFACE ${includes})
target_link_libraries(invact_grpc INTERFACE
  "$<LINK_GROUP:RESCAN,${group}>" ${rest} Threads::Threads)
target_link_options(invact_grpc INTERFACE
  -static-libstdc++ -static-libgcc -Wl,--as-needed)

# invact_protoc(<target> <import root> files...): a static library of the
# generated messages and services; headers are #include "invact/v1/x.pb.h".
function(invact_protoc target root)
  set(out ${PROJECT_BINARY_DIR}/generated)
  set(sources)
  foreach(file ${ARGN})
    cmake_path(REMOVE_EXTENSION file OUTPUT_VARIABLE stem)
    set(made ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
             ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
    add_custom_command(OUTPUT ${made}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${out}
      COMMAND ${INVACT_PROTOC} -I${root} --cpp_out=${out} --grpc_out=${out}
              --plugin=protoc-gen-grpc=${INVACT_GRPC_CPP_PLUGIN} ${root}/${file}
      DEPENDS ${root}/${file} COMMENT "protoc ${file}" VERBATIM)
    list(APPEND sources ${made})
  endforeach()
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC invact_grpc)
endfunction()
