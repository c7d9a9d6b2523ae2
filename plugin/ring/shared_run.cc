#include "plugin/ring/shared_run.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

namespace invact {

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::string Failed(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

}  // namespace

SharedRun* CreateSharedRun(int* memfd, std::string* error) {
  const int fd = memfd_create("invact", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    *error = Failed("memfd_create");
    return nullptr;
  }
  void* memory = MAP_FAILED;
  rlimit files;
  if (getrlimit(RLIMIT_FSIZE, &files) == 0 &&
      files.rlim_cur < sizeof(SharedRun)) {
    // ftruncate would not only fail: SIGXFSZ would end the job.
    *error = "the limit on file sizes (ulimit -f) is below " +
             std::to_string((sizeof(SharedRun) >> 20) + 1) + " MiB";
  } else if (ftruncate(fd, sizeof(SharedRun)) != 0) {
    *error = Failed("ftruncate of the memfd");
  } else if (fcntl(fd, F_ADD_SEALS, kSeals) != 0) {
    *error = Failed("sealing the memfd");
  } else {
    memory = mmap(nullptr, sizeof(SharedRun), PROT_READ | PROT_WRITE,
                  MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) *error = Failed("mapping the memfd");
  }
  if (memory == MAP_FAILED) {
    close(fd);
    return nullptr;
  }
  // The file is zero, which is every member's start value: members are placed,
  // not written, so that no page is touched.
  auto* shared = static_cast<SharedRun*>(memory);
  shared->layout_version = kLayoutVersion;
  shared->layout_bytes = sizeof(SharedRun);
  std::memcpy(shared->magic, kLayoutMagic, sizeof(kLayoutMagic));
  *memfd = fd;
  return shared;
}

SharedRun* MapSharedRun(int memfd_untrusted, std::string* error) {
  struct stat file;
  const int seals = fcntl(memfd_untrusted, F_GET_SEALS);
  if (fstat(memfd_untrusted, &file) != 0 || seals < 0) {
    *error = "descriptor " + std::to_string(memfd_untrusted) +
             " is no memfd: " + std::strerror(errno);
    return nullptr;
  }
  if ((seals & kSeals) != kSeals || file.st_size != sizeof(SharedRun)) {
    *error = "the memory handed over is not sealed or has " +
             std::to_string(file.st_size) + " bytes where " +
             std::to_string(sizeof(SharedRun)) + " are due";
    return nullptr;
  }
  void* memory = mmap(nullptr, sizeof(SharedRun), PROT_READ | PROT_WRITE,
                      MAP_SHARED, memfd_untrusted, 0);
  if (memory == MAP_FAILED) {
    *error = Failed("mapping the memory handed over");
    return nullptr;
  }
  auto* shared = static_cast<SharedRun*>(memory);
  if (std::memcmp(shared->magic, kLayoutMagic, sizeof(kLayoutMagic)) != 0 ||
      shared->layout_version != kLayoutVersion ||
      shared->layout_bytes != sizeof(SharedRun)) {
    munmap(memory, sizeof(SharedRun));
    *error =
        "the plugin writes another layout than this relay reads; install both "
        "from one build";
    return nullptr;
  }
  return shared;
}

}  // namespace invact
