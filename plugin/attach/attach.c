/* libinvact.so: the one file that a job is started with. It depends on libc
   alone, exports two functions, and does nothing in a process without libtorch.

   Doors; whichever comes first starts the plugin, once:
     LD_PRELOAD             the constructor, when libtorch is mapped already (a
                            C++ job); initModule, when Python imports torch._C
     CUDA_INJECTION64_PATH  InitializeInjection, which runs inside cuInit

   Why initModule: torch's _C extension is a stub that calls initModule of
   libtorch_python through a symbol look-up that a preloaded library answers
   first. So we stand exactly at the end of that call, with the GIL held and
   torch's own hooks in place. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin/attach/old_symbols.h"
#include "plugin/plugin_api.h"

#define EXPORT __attribute__((visibility("default")))

enum { kPath = 4096, kVersion = 64 };

typedef void* (*init_module)(void);
typedef int (*plugin_start)(const struct invact_start*);
typedef int (*add_pending_call)(int (*)(void*), void*);

static int g_started;

static int env_is(const char* key, const char* value) {
  const char* found = getenv(key);
  return found != NULL && strcmp(found, value) == 0;
}

static int switched_off(void) {
  return env_is("INVACT_DISABLE", "1") || env_is("INVACT_POLICY", "none");
}

/* One line on stderr, from the first rank only. */
static void say(const char* text, const char* what) {
  const char* keys[] = {"RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"};
  for (int i = 0; i < 3; ++i) {
    const char* rank = getenv(keys[i]);
    if (rank == NULL) continue;
    if (strcmp(rank, "0") != 0) return;
    break;
  }
  char line[kPath + 512];
  int n = snprintf(line, sizeof(line), "invact: %s %s\n", text, what);
  if (n >= (int)sizeof(line)) n = sizeof(line) - 1;
  if (write(2, line, n) < 0) return; /* a job without stderr gets no line */
}

struct search {
  const char* name;
  char path[kPath];
};

static int same_library(struct dl_phdr_info* info, size_t size, void* data) {
  struct search* search = data;
  (void)size;
  if (info->dlpi_name == NULL) return 0;
  const char* base = strrchr(info->dlpi_name, '/');
  if (base == NULL || strcmp(base + 1, search->name) != 0) return 0;
  snprintf(search->path, sizeof(search->path), "%s", info->dlpi_name);
  return 1;
}

/* Path of a mapped library by its base name, "" when it is not mapped. */
static void find_library(const char* name, struct search* search) {
  search->name = name;
  search->path[0] = '\0';
  dl_iterate_phdr(same_library, search);
}

/* The first text between quotes on the line `__version__ = '2.11.0+cu130'`, or
   the whole first line of a libtorch's build-version. */
static int read_version(const char* file, int quoted, char* version) {
  FILE* in = fopen(file, "re");
  if (in == NULL) return 0;
  char line[512];
  version[0] = '\0';
  while (version[0] == '\0' && fgets(line, sizeof(line), in) != NULL) {
    char* begin = line;
    if (quoted) {
      if (strncmp(line, "__version__", 11) != 0) continue;
      begin = strpbrk(line, "'\"");
      if (begin == NULL) continue;
      ++begin;
    }
    begin[strcspn(begin, "'\"\r\n")] = '\0';
    snprintf(version, kVersion, "%.60s", begin);
  }
  fclose(in);
  return version[0] != '\0';
}

/* `folder` of libtorch_cpu.so: <torch>/lib. */
static int torch_version(const char* folder, char* version) {
  char file[kPath + 32];
  snprintf(file, sizeof(file), "%s/../version.py", folder);
  if (read_version(file, 1, version)) return 1;
  snprintf(file, sizeof(file), "%s/../build-version", folder);
  return read_version(file, 0, version);
}

/* Cuts the file name off. */
static void to_folder(char* path) {
  char* slash = strrchr(path, '/');
  if (slash != NULL) *slash = '\0';
}

static void attach(void) {
  struct search torch, python;
  Dl_info self;
  char folder[kPath], version[kVersion], plugin[kPath + 128];
  if (g_started || switched_off()) return;
  find_library("libtorch_cpu.so", &torch);
  if (torch.path[0] == '\0') return;
  g_started = 1;
  find_library("libtorch_python.so", &python);
  if (dladdr((void*)&attach, &self) == 0) return;
  snprintf(folder, sizeof(folder), "%s", self.dli_fname);
  to_folder(folder);
  to_folder(torch.path);
  if (!torch_version(torch.path, version)) {
    say("no version is written beside this libtorch, so no plugin can be "
        "chosen; the job runs plain (next: invact doctor); libtorch is in",
        torch.path);
    return;
  }
  /* "2.11.0+cu130" itself, then "2.11". */
  snprintf(plugin, sizeof(plugin), "%s/libinvact-torch%s.so", folder, version);
  if (access(plugin, R_OK) != 0) {
    const char* dot = strchr(version, '.');
    const size_t minor = dot == NULL ? strlen(version)
                                     : (size_t)(dot - version) + 1 +
                                           strspn(dot + 1, "0123456789");
    snprintf(plugin, sizeof(plugin), "%s/libinvact-torch%.*s.so", folder,
             (int)minor, version);
  }
  if (access(plugin, R_OK) != 0) {
    char what[kVersion + 128];
    snprintf(what, sizeof(what),
             "%s; the job runs plain (next: scripts/setup --torch %.*s, or "
             "invact doctor)",
             version, (int)strcspn(version, "+"), version);
    say("no plugin for torch", what);
    return;
  }
  void* library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  plugin_start start =
      library == NULL ? NULL
                      : (plugin_start)dlsym(library, "invact_plugin_start");
  if (start == NULL) {
    const char* error = dlerror();
    say("the plugin does not load; the job runs plain (next: invact doctor):",
        error == NULL ? plugin : error);
    return;
  }
  const struct invact_start facts = {INVACT_PLUGIN_ABI, folder,
                                     python.path[0] != '\0', version};
  start(&facts);
}

EXPORT void* initModule(void);

static init_module definition_in(const char* path) {
  void* library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (library == NULL) return NULL;
  init_module found = (init_module)dlsym(library, "initModule");
  return found == initModule ? NULL : found;
}

/* Forwards to the definition that the caller would have found without us. A
   library that is not torch's finds the one in its own dependencies. torch's
   stub leaves by a jump, so that Python itself looks like its caller: once
   libtorch_python is mapped, Python's first call is torch's. */
EXPORT void* initModule(void) {
  static int torch_done;
  struct search python;
  Dl_info caller;
  init_module original = NULL;
  const int known = dladdr(__builtin_return_address(0), &caller) != 0 &&
                    caller.dli_fname != NULL;
  if (known) original = definition_in(caller.dli_fname);
  find_library("libtorch_python.so", &python);
  init_module of_torch =
      python.path[0] != '\0' ? definition_in(python.path) : NULL;
  if (original == NULL && !torch_done) original = of_torch;
  if (original == NULL) {
    original = (init_module)dlsym(RTLD_NEXT, "initModule");
  }
  if (original == NULL) {
    say("initModule was called by a library that has none of its own:",
        known ? caller.dli_fname : "?");
    return NULL;
  }
  void* module = original();
  if (original == of_torch) {
    torch_done = 1;
    if (module != NULL) attach();
  }
  return module;
}

static int attach_pending(void* unused) {
  (void)unused;
  attach();
  return 0;
}

/* Called by the CUDA driver inside cuInit, on whatever thread came first, with
   or without the GIL: a Python job starts from a pending call, which Python
   makes on its main thread between two instructions. */
EXPORT int InitializeInjection(void) {
  struct search python;
  find_library("libtorch_python.so", &python);
  if (python.path[0] == '\0') {
    attach();
    return 1;
  }
  add_pending_call add =
      (add_pending_call)dlsym(RTLD_DEFAULT, "Py_AddPendingCall");
  if (add != NULL) add(attach_pending, NULL);
  return 1;
}

/* A C++ job has libtorch mapped by now; a Python one never has. */
__attribute__((constructor)) static void on_load(void) {
  struct search python;
  if (switched_off()) return;
  find_library("libtorch_python.so", &python);
  if (python.path[0] == '\0') attach();
}
