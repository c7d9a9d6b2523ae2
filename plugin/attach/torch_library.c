#define _GNU_SOURCE
#include "plugin/attach/torch_library.h"

#include <ctype.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

struct search {
  const char* name;
  char* path;
};

static int same_library(struct dl_phdr_info* info, size_t size, void* data) {
  struct search* search = data;
  const size_t length = strlen(search->name);
  (void)size;
  if (info->dlpi_name == NULL) return 0;
  const char* base = strrchr(info->dlpi_name, '/');
  if (base == NULL || strncmp(base + 1, search->name, length) != 0) return 0;
  if (base[1 + length] != '\0' && base[1 + length] != '.') return 0;
  snprintf(search->path, INVACT_PATH, "%s", info->dlpi_name);
  return 1;
}

int invact_find_library(const char* name, char path[INVACT_PATH]) {
  struct search search = {name, path};
  path[0] = '\0';
  return dl_iterate_phdr(same_library, &search);
}

struct numbered {
  size_t left;
  char* path;
};

static int pass(struct dl_phdr_info* info, size_t size, void* data) {
  struct numbered* numbered = data;
  (void)size;
  if (numbered->left > 0) {
    --numbered->left;
    return 0;
  }
  snprintf(numbered->path, INVACT_PATH, "%s",
           info->dlpi_name == NULL ? "" : info->dlpi_name);
  return 1;
}

static int count(struct dl_phdr_info* info, size_t size, void* data) {
  (void)info;
  (void)size;
  ++*(size_t*)data;
  return 0;
}

size_t invact_mapped_libraries(void) {
  size_t libraries = 0;
  dl_iterate_phdr(count, &libraries);
  return libraries;
}

int invact_mapped_library(size_t index, char path[INVACT_PATH]) {
  struct numbered numbered = {index, path};
  path[0] = '\0';
  return dl_iterate_phdr(pass, &numbered);
}

void invact_to_folder(char* path) {
  char* slash = strrchr(path, '/');
  if (slash != NULL) *slash = '\0';
}

/* The first thing that looks like a version on the first line that begins with
   `prefix`. */
static int read_version(const char* folder, const char* name,
                        const char* prefix, char* version) {
  char file[INVACT_PATH + 64], line[512];
  snprintf(file, sizeof(file), "%s/%s", folder, name);
  FILE* in = fopen(file, "re");
  if (in == NULL) return 0;
  version[0] = '\0';
  while (version[0] == '\0' && fgets(line, sizeof(line), in) != NULL) {
    if (strncmp(line, prefix, strlen(prefix)) != 0) continue;
    const char* begin = line + strlen(prefix);
    while (*begin != '\0' && !isdigit((unsigned char)*begin)) ++begin;
    const size_t length = strcspn(begin, "'\" \t\r\n");
    snprintf(version, INVACT_VERSION_SIZE, "%.*s",
             (int)(length < INVACT_VERSION_SIZE ? length : 0), begin);
  }
  fclose(in);
  return version[0] != '\0';
}

int invact_torch_version(const char* library,
                         char version[INVACT_VERSION_SIZE]) {
  char folder[INVACT_PATH], stub[INVACT_PATH];
  snprintf(folder, sizeof(folder), "%s", library);
  invact_to_folder(folder);
  /* A wheel has <torch>/lib, a libtorch archive <libtorch>/lib. */
  if (read_version(folder, "../version.py", "__version__", version)) return 1;
  if (read_version(folder, "../build-version", "", version)) return 1;
  /* A distribution may keep the libraries apart from the package: then the
     package is where the extension torch/_C came from. */
  if (invact_find_library("_C", stub)) {
    invact_to_folder(stub);
    const char* base = strrchr(stub, '/');
    if (base != NULL && strcmp(base, "/torch") == 0 &&
        read_version(stub, "version.py", "__version__", version)) {
      return 1;
    }
  }
  return read_version(folder, "../include/torch/headeronly/version.h",
                      "#define TORCH_VERSION ", version) ||
         read_version(folder, "../include/torch/version.h",
                      "#define TORCH_VERSION ", version);
}
