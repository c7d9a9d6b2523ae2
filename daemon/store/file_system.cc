#include "daemon/store/file_system.h"

#include <sys/vfs.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace invact {
namespace {

struct Known {
  uint32_t type;
  const char* name;
  bool network;
};

// Numbers of linux/magic.h and, for those that are not in the kernel, of their
// own clients.
constexpr Known kKnown[] = {
    {0xef53, "ext4", false},        {0x58465342, "xfs", false},
    {0x9123683e, "btrfs", false},   {0x01021994, "tmpfs", false},
    {0x794c7630, "overlay", false}, {0x2fc12fc1, "zfs", false},
    {0xf2f52010, "f2fs", false},    {0x6969, "nfs", true},
    {0x517b, "smb", true},          {0xff534d42, "cifs", true},
    {0xfe534d42, "smb2", true},     {0x00c36400, "ceph", true},
    {0x0bd00bd0, "lustre", true},   {0x47504653, "gpfs", true},
    {0x19830326, "beegfs", true},   {0x65735546, "fuse", true},
    {0x01021997, "9p", true},       {0x5346414f, "afs", true},
    {0x6b414653, "kafs", true},     {0x73757245, "coda", true},
    {0x7461636f, "ocfs2", true},    {0x01161970, "gfs2", true},
    {0x20030528, "orangefs", true}, {0xaad7aaea, "panfs", true},
    {0x786f4256, "vboxsf", true},
};

}  // namespace

FileSystem FileSystemOfType(uint64_t type) {
  // f_type is signed on some machines: only its low half counts.
  const uint32_t low = static_cast<uint32_t>(type);
  for (const Known& known : kKnown) {
    if (known.type == low) return {known.name, known.network};
  }
  return {absl::StrCat("0x", absl::Hex(low)), false};
}

absl::StatusOr<FileSystem> FileSystemOf(const std::string& path) {
  struct statfs info;
  if (statfs(path.c_str(), &info) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot look at the file system of ", path, ": ", strerror(errno)));
  }
  return FileSystemOfType(static_cast<uint64_t>(info.f_type));
}

}  // namespace invact
