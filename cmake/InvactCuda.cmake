# The CUDA language, from (first found) CUDACXX, the folder nvidia/cu13 of the
# PyPI wheel beside INVACT_PYTHON's torch, PATH, /usr/local/cuda.
# Without an nvcc INVACT_BUILD_CUDA becomes OFF with a line that says so.
# Sets INVACT_CUDA_ROOT: <root>/include has cuda_runtime.h and cupti.h.
set(INVACT_CUDA_ARCHITECTURES "90" CACHE STRING
  "GPU architectures; 'release' is 80 86 89 90 100 120 and PTX")
if(NOT INVACT_BUILD_CUDA)
  return()
endif()

execute_process(
  COMMAND ${INVACT_PYTHON} -c "import importlib.util as u
s = u.find_spec('nvidia')
print('\\n'.join(s.submodule_search_locations) if s else '')"
  OUTPUT_VARIABLE nvidia_dirs OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
string(REPLACE "\n" ";" nvidia_dirs "${nvidia_dirs}")
set(candidates)
foreach(dir ${nvidia_dirs})
  file(GLOB found ${dir}/cu[0-9]*)
  list(APPEND candidates ${found})
endforeach()
if(NOT CMAKE_CUDA_COMPILER)
  if(DEFINED ENV{CUDACXX})
    set(CMAKE_CUDA_COMPILER $ENV{CUDACXX})
  else()
    foreach(root ${candidates})
      if(EXISTS ${root}/bin/nvcc)
        set(CMAKE_CUDA_COMPILER ${root}/bin/nvcc)
        break()
      endif()
    endforeach()
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(INVACT_NVCC nvcc HINTS /usr/local/cuda/bin)
    if(INVACT_NVCC)
      set(CMAKE_CUDA_COMPILER ${INVACT_NVCC})
    endif()
  endif()
endif()
if(NOT CMAKE_CUDA_COMPILER)
  message(STATUS "CUDA kernels: OFF, no nvcc in CUDACXX, beside "
    "${INVACT_PYTHON}'s packages, in PATH or /usr/local/cuda "
    "(scripts/setup installs one)")
  set(INVACT_BUILD_CUDA OFF)
  return()
endif()
set(CMAKE_CUDA_COMPILER ${CMAKE_CUDA_COMPILER} CACHE FILEPATH "" FORCE)
cmake_path(GET CMAKE_CUDA_COMPILER PARENT_PATH INVACT_CUDA_ROOT)
cmake_path(GET INVACT_CUDA_ROOT PARENT_PATH INVACT_CUDA_ROOT)

# A wheel keeps its libraries in lib, where nvcc does not look by itself.
if(EXISTS ${INVACT_CUDA_ROOT}/lib/libcudart_static.a)
  set(ENV{LIBRARY_PATH} ${INVACT_CUDA_ROOT}/lib:$ENV{LIBRARY_PATH})
  set(CMAKE_CUDA_FLAGS_INIT "-L${INVACT_CUDA_ROOT}/lib")
endif()
# An nvcc that was merely found may refuse the host's compiler.
if(INVACT_NVCC)
  set(probe ${PROJECT_BINARY_DIR}/CMakeFiles/nvcc_probe)
  file(WRITE ${probe}.cu "#include <cuda_runtime.h>\n")
  if(DEFINED ENV{CUDAHOSTCXX})
    set(host -ccbin $ENV{CUDAHOSTCXX})
  endif()
  execute_process(
    COMMAND ${INVACT_NVCC} ${host} -c ${probe}.cu -o ${probe}.o
    RESULT_VARIABLE result ERROR_VARIABLE why OUTPUT_VARIABLE why)
  if(NOT result EQUAL 0)
    string(STRIP "${why}" why)
    message(STATUS "CUDA kernels: OFF, ${INVACT_NVCC} compiles nothing here "
      "(name another in CUDACXX, or its host compiler in CUDAHOSTCXX): ${why}")
    set(INVACT_BUILD_CUDA OFF)
    return()
  endif()
endif()

set(CMAKE_CUDA_ARCHITECTURES 90)  # for the check of the compiler
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)

if(NOT INVACT_CUDA_ARCHITECTURES STREQUAL "release")
  set(CMAKE_CUDA_ARCHITECTURES ${INVACT_CUDA_ARCHITECTURES})
elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90)
else()
  set(CMAKE_CUDA_ARCHITECTURES 80-real 86-real 89-real 90-real 100-real 120)
endif()
message(STATUS "CUDA kernels: nvcc ${CMAKE_CUDA_COMPILER_VERSION} in "
  "${INVACT_CUDA_ROOT}, architectures ${CMAKE_CUDA_ARCHITECTURES}")
