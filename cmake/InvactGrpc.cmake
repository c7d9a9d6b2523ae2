# invact_grpc: gRPC, its reflection service, protobuf, abseil, OpenSSL, c-ares,
# re2, zlib, libstdc++ and libgcc from their archives, so that a program that
# links it needs libc and libm alone. invact_protoc(<out> files...) generates.
# The list of archives is pkg-config's; they refer to each other in circles,
# so they are one group.
set(INVACT_HAVE_GRPC OFF)
find_package(PkgConfig)
find_program(INVACT_PROTOC protoc)
find_program(INVACT_GRPC_CPP_PLUGIN grpc_cpp_plugin)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(INVACT_GRPCPP QUIET grpc++ protobuf)
endif()
if(NOT INVACT_GRPCPP_FOUND OR NOT INVACT_PROTOC OR NOT INVACT_GRPC_CPP_PLUGIN)
  message(STATUS "relay and daemon: OFF, gRPC for C++ is not installed "
    "(Debian: libgrpc++-dev protobuf-compiler-grpc; scripts/setup does it)")
  set(INVACT_BUILD_DAEMON OFF)
  return()
endif()
set(INVACT_HAVE_GRPC ON)

set(archives)
set(rest)
foreach(name grpc++_reflection grpc++_error_details
             ${INVACT_GRPCPP_STATIC_LIBRARIES} crypto)
  if(name MATCHES "^absl_")
    continue()  # below, all of them
  endif()
  find_library(INVACT_ARCHIVE_${name} NAMES lib${name}.a
    HINTS ${INVACT_GRPCPP_STATIC_LIBRARY_DIRS})
  mark_as_advanced(INVACT_ARCHIVE_${name})
  if(INVACT_ARCHIVE_${name} AND NOT name MATCHES "^(m|dl|rt|pthread|c)$")
    list(APPEND archives ${INVACT_ARCHIVE_${name}})
  elseif(NOT name STREQUAL "atomic")
    list(APPEND rest ${name})
  endif()
endforeach()
find_library(INVACT_ARCHIVE_absl_strings NAMES libabsl_strings.a
  HINTS ${INVACT_GRPCPP_STATIC_LIBRARY_DIRS})
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
target_include_directories(invact_grpc SYSTEM INTERFACE
  ${INVACT_GRPCPP_INCLUDE_DIRS})
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
