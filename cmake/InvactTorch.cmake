# Imported targets torch_cpu, c10 and, where that torch has CUDA, torch_cuda
# and c10_cuda. find_package(Torch) asks for a CUDA toolkit in the layout of
# /usr/local/cuda and fails on PyPI's wheels, so they are made here:
#   INVACT_PYTHON    a Python that imports torch (default .venv/bin/python)
#   INVACT_TORCH_DIR a libtorch prefix or torch package folder; wins over Python
# Sets INVACT_TORCH_VERSION (2.11.0+cu130), INVACT_TORCH_ABI (2.11),
# INVACT_TORCH_CUDA_VERSION (13.0 or empty), INVACT_PLUGIN_NAME
# (invact-torch2.11).
if(EXISTS ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  set(default_python ${PROJECT_SOURCE_DIR}/.venv/bin/python)
else()
  set(default_python python3)
endif()
set(INVACT_PYTHON ${default_python} CACHE STRING
  "Python that runs the tests and imports torch")
set(INVACT_TORCH_DIR "" CACHE PATH "libtorch prefix (default: ask the Python)")

if(NOT INVACT_BUILD_PLUGIN)
  return()
endif()

# Finds the folder without importing torch, which takes seconds.
set(torch_dir ${INVACT_TORCH_DIR})
if(NOT torch_dir)
  execute_process(
    COMMAND ${INVACT_PYTHON} -c "import importlib.util as u
s = u.find_spec('torch')
print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE torch_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT EXISTS "${torch_dir}/lib/libtorch_cpu.so")
  message(STATUS "plugin: OFF, ${INVACT_PYTHON} has no torch "
    "(scripts/setup installs one; or -DINVACT_PYTHON=, -DINVACT_TORCH_DIR=)")
  set(INVACT_BUILD_PLUGIN OFF)
  return()
endif()

if(EXISTS ${torch_dir}/version.py)  # a wheel
  file(STRINGS ${torch_dir}/version.py line REGEX "^__version__ *(:.*)?=")
  string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[^'\"]*" INVACT_TORCH_VERSION "${line}")
  file(STRINGS ${torch_dir}/version.py line REGEX "^cuda *(:.*)?=")
  string(REGEX MATCH "[0-9]+\\.[0-9]+" INVACT_TORCH_CUDA_VERSION "${line}")
elseif(EXISTS ${torch_dir}/build-version)  # a libtorch zip
  file(STRINGS ${torch_dir}/build-version INVACT_TORCH_VERSION LIMIT_COUNT 1)
  set(INVACT_TORCH_CUDA_VERSION "")
endif()
if(NOT INVACT_TORCH_VERSION)
  message(FATAL_ERROR "${torch_dir} names no torch version: neither "
    "version.py nor build-version is there. Give -DINVACT_TORCH_DIR= the "
    "folder that holds include/ and lib/ of a torch wheel or libtorch.")
endif()
string(REGEX MATCH "^[0-9]+\\.[0-9]+" INVACT_TORCH_ABI
  ${INVACT_TORCH_VERSION})
set(INVACT_PLUGIN_NAME invact-torch${INVACT_TORCH_ABI})
message(STATUS "plugin: lib${INVACT_PLUGIN_NAME}.so for torch "
  "${INVACT_TORCH_VERSION} in ${torch_dir}")

function(invact_import_torch name)
  if(EXISTS ${torch_dir}/lib/lib${name}.so)
    add_library(${name} SHARED IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES
      IMPORTED_LOCATION ${torch_dir}/lib/lib${name}.so
      IMPORTED_NO_SONAME OFF)
    target_include_directories(${name} SYSTEM INTERFACE
      ${torch_dir}/include ${torch_dir}/include/torch/csrc/api/include)
  endif()
endfunction()
foreach(name c10 torch_cpu c10_cuda torch_cuda torch torch_python)
  invact_import_torch(${name})
endforeach()
set_target_properties(torch_cpu PROPERTIES INTERFACE_LINK_LIBRARIES c10)

# What a plain C++ program needs to run on this torch.
set(INVACT_TORCH_LIB_DIR ${torch_dir}/lib)

# For C++ programs that use torch as a job does: with its CUDA part, which
# registers itself when it is loaded and is named by no symbol.
add_library(invact_libtorch INTERFACE)
target_link_libraries(invact_libtorch INTERFACE torch_cpu c10)
if(TARGET torch_cuda)
  target_link_libraries(invact_libtorch INTERFACE
    -Wl,--push-state,--no-as-needed torch_cuda c10_cuda -Wl,--pop-state)
endif()
