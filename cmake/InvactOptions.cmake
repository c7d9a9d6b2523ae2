# Options, and what every target of ours compiles with.
option(INVACT_BUILD_PLUGIN "Build the plugin (needs torch)" ON)
option(INVACT_BUILD_CUDA "Build the CUDA kernels (needs nvcc)" ON)
option(INVACT_BUILD_DAEMON "Build invactd and invact" ON)
option(INVACT_BUILD_TESTS "Build the tests" ON)
option(INVACT_PCH "Precompile torch's headers for the plugin" ON)
set(INVACT_SANITIZER "" CACHE STRING "address, thread or nothing")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/archive)

# ccache, where it is installed: the same objects serve every build folder and
# every clone, and a precompiled header does not spoil its hits.
find_program(INVACT_CCACHE ccache)
if(INVACT_CCACHE)
  set(launcher env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${INVACT_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${launcher})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

add_library(invact_options INTERFACE)
target_include_directories(invact_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(invact_options INTERFACE
  INVACT_VERSION="${PROJECT_VERSION}")
target_compile_options(invact_options INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Werror>
  # GCC 12 reports overlapping copies in std::string's operator+ where there
  # are none (GCC bug 105329).
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>)
target_link_libraries(invact_options INTERFACE Threads::Threads)

if(INVACT_SANITIZER)
  target_compile_options(invact_options INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${INVACT_SANITIZER};-fno-sanitize-recover=all;-fno-omit-frame-pointer>)
  target_link_options(invact_options INTERFACE
    -fsanitize=${INVACT_SANITIZER})
  if(INVACT_SANITIZER STREQUAL "thread")
    # Under this macro protobuf's headers add a member to map fields, which its
    # installed library, compiled without, does not know: reports crashed.
    target_compile_options(invact_options INTERFACE
      $<$<COMPILE_LANGUAGE:CXX>:-U__SANITIZE_THREAD__>)
  endif()
endif()

# Adds a folder that has a CMakeLists.txt.
function(invact_add_folder folder)
  if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()
