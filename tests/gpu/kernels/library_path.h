// Where the CUDA kernels under test are.
#ifndef INVACT_TESTS_GPU_KERNELS_LIBRARY_PATH_H_
#define INVACT_TESTS_GPU_KERNELS_LIBRARY_PATH_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace invact::kernels {

// Beside the build's other libraries, wherever the build was copied to.
inline std::string LibraryPath() {
  const char* folder = std::getenv("INVACT_LIB_DIR");
  if (folder != nullptr) return std::string(folder) + "/libinvact-cuda.so";
  return std::filesystem::read_symlink("/proc/self/exe")
             .parent_path()
             .parent_path() /
         "lib/libinvact-cuda.so";
}

}  // namespace invact::kernels

#endif  // INVACT_TESTS_GPU_KERNELS_LIBRARY_PATH_H_
