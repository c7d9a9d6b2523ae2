#include "plugin/attach/find_plugin.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

int invact_find_plugin(const char* folder, const char* version, char* plugin,
                       size_t size) {
  snprintf(plugin, size, "%s/libinvact-torch%s.so", folder, version);
  if (access(plugin, R_OK) == 0) return 1;
  size_t minor = strspn(version, "0123456789");
  if (version[minor] == '.') {
    minor += 1 + strspn(version + minor + 1, "0123456789");
  }
  snprintf(plugin, size, "%s/libinvact-torch%.*s.so", folder, (int)minor,
           version);
  return access(plugin, R_OK) == 0;
}

static int reads(int file, void* to, size_t size, off_t from) {
  return pread(file, to, size, from) == (ssize_t)size;
}

int invact_is_whole(const char* plugin) {
  ElfW(Ehdr) head;
  ElfW(Phdr) part;
  const int file = open(plugin, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const off_t size = lseek(file, 0, SEEK_END);
  int whole = reads(file, &head, sizeof(head), 0) &&
              memcmp(head.e_ident, ELFMAG, SELFMAG) == 0 &&
              head.e_phentsize == sizeof(part);
  for (unsigned i = 0; whole && i < head.e_phnum; ++i) {
    whole = reads(file, &part, sizeof(part),
                  (off_t)(head.e_phoff + i * sizeof(part))) &&
            part.p_offset + part.p_filesz <= (ElfW(Off))size;
  }
  close(file);
  return whole;
}
