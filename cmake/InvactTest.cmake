# invact_test(<name> SOURCES a_test.cc... [LABELS unit] [LIBS ...] [ARGS ...])
#   a GoogleTest program and one ctest entry for it.
# invact_pytest(<name> FILE tests/integration/x_test.py [LABELS ...]
#               [NEEDS target...] [ENV NAME=VALUE...])
#   a pytest file and one ctest entry for it. Tests find the build through
#   INVACT_BIN_DIR, INVACT_LIB_DIR and INVACT_SOURCE_DIR.
# Labels: unit, integration, gpu (skips with its reason where no GPU is), slow.
# A file *_test.cc or *_test.py that stands in no CMakeLists.txt fails the ctest
# build.every_test_is_listed.
if(INVACT_BUILD_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
endif()

# What every test finds in its environment.
set(INVACT_TEST_ENVIRONMENT
  INVACT_BIN_DIR=${PROJECT_BINARY_DIR}/bin
  INVACT_LIB_DIR=${PROJECT_BINARY_DIR}/lib
  INVACT_SOURCE_DIR=${PROJECT_SOURCE_DIR}
  PYTHONDONTWRITEBYTECODE=1)
if(INVACT_SANITIZER STREQUAL "thread")
  list(APPEND INVACT_TEST_ENVIRONMENT
    TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/build/tsan_suppressions.txt)
elseif(INVACT_SANITIZER)
  list(APPEND INVACT_TEST_ENVIRONMENT UBSAN_OPTIONS=print_stacktrace=1)
endif()

function(invact_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LABELS;LIBS;ARGS;ENV" ${ARGN})
  if(NOT INVACT_BUILD_TESTS)
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE
    invact_options ${arg_LIBS} GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
    ENVIRONMENT "${INVACT_TEST_ENVIRONMENT};${arg_ENV}")
endfunction()

function(invact_pytest name)
  cmake_parse_arguments(arg "" "FILE;TIMEOUT" "LABELS;NEEDS;ENV" ${ARGN})
  if(NOT INVACT_BUILD_TESTS)
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS integration)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  set(file ${arg_FILE})
  cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY ${PROJECT_SOURCE_DIR} NORMALIZE)
  foreach(target ${arg_NEEDS})
    if(NOT TARGET ${target})
      return()
    endif()
  endforeach()
  add_test(NAME ${name}
    COMMAND ${INVACT_PYTHON} -m pytest -q -p no:cacheprovider -rs ${file}
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES
    LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
    # A file that skips as a whole: its reason is listed by scripts/test.
    SKIP_RETURN_CODE 5
    ENVIRONMENT "${INVACT_TEST_ENVIRONMENT};${arg_ENV}")
endfunction()
