/* libinvact.so: the one file that a job is started with. It depends on libc
   alone, exports two functions, and does nothing in a process without libtorch.

   Doors; whichever comes first starts the plugin, once:
     LD_PRELOAD             the constructor, when libtorch is mapped already (a
                            C++ job); initModule, when Python imports torch._C
     CUDA_INJECTION64_PATH  InitializeInjection, which runs inside cuInit */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/attach/config.h"
#include "plugin/attach/find_plugin.h"
#include "plugin/attach/init_module.h"
#include "plugin/attach/old_symbols.h"
#include "plugin/attach/torch_library.h"
#include "plugin/attach/voice.h"
#include "plugin/plugin_api.h"

#define EXPORT __attribute__((visibility("default")))

typedef int (*plugin_start)(const struct invact_start*);
typedef int (*add_pending_call)(int (*)(void*), void*);

static int g_started;
/* This file, when it was named by a relative path: the job may go elsewhere
   before it imports torch. Else empty. */
static char g_self[INVACT_PATH];

static int own_path(char path[INVACT_PATH]) {
  Dl_info self;
  if (g_self[0] != '\0') return snprintf(path, INVACT_PATH, "%s", g_self) > 0;
  /* Through links: the plugin lies beside the file itself. */
  return dladdr((void*)&own_path, &self) != 0 && self.dli_fname != NULL &&
         realpath(self.dli_fname, path) != NULL;
}

static void start_plugin(const char* plugin, struct invact_start* facts) {
  char why[1024] = "it gave no reason";
  facts->write_line = invact_write_line;
  facts->why = why;
  facts->why_size = sizeof(why);
  void* library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  plugin_start start =
      library == NULL ? NULL
                      : (plugin_start)dlsym(library, "invact_plugin_start");
  if (start == NULL) {
    const char* error = dlerror();
    invact_say("%s does not load; the job runs plain (next: invact doctor): %s",
               plugin, error == NULL ? "it is no plugin" : error);
  } else if (start(facts) == 2) {
    invact_say("%s; the job runs plain (next: invact doctor)", why);
  }
}

/* `torch_c`: the module torch._C where Python is just making it. */
static void attach(void* torch_c) {
  char torch[INVACT_PATH], other[INVACT_PATH], folder[INVACT_PATH];
  char version[INVACT_VERSION_SIZE], plugin[INVACT_PATH + 128];
  if (invact_switched_off()) return;
  if (!invact_find_library("libtorch_cpu.so", torch)) return;
  if (__atomic_exchange_n(&g_started, 1, __ATOMIC_ACQ_REL)) return;
  if (!own_path(folder)) return;
  invact_to_folder(folder);
  if (!invact_torch_version(torch, version)) {
    invact_say(
        "%s has no version written beside it, so no plugin can be chosen; the "
        "job runs plain (next: invact doctor)",
        torch);
    return;
  }
  if (!invact_find_plugin(folder, version, plugin, sizeof(plugin))) {
    invact_say(
        "no plugin for torch %s in %s; the job runs plain (next: scripts/setup "
        "--torch %.*s, or invact doctor)",
        version, folder, (int)strcspn(version, "+"), version);
    return;
  }
  if (!invact_is_whole(plugin)) {
    invact_say(
        "%s is not a whole library, as after an interrupted copy; the job runs "
        "plain (next: install invact again, or invact doctor)",
        plugin);
    return;
  }
  struct invact_start facts = {
      .abi = INVACT_PLUGIN_ABI,
      .lib_dir = folder,
      .python = invact_find_library("libtorch_python.so", other),
      .torch_version = version,
      .torch_c = torch_c};
  start_plugin(plugin, &facts);
}

/* At the end of this call torch._C is there, the GIL is held and torch's own
   hooks are in place. */
EXPORT void* initModule(void) {
  int of_torch;
  void* module =
      invact_forward_init_module(__builtin_return_address(0), &of_torch);
  if (of_torch && module != NULL) attach(module);
  return module;
}

static int attach_pending(void* unused) {
  (void)unused;
  attach(NULL);
  return 0;
}

/* Called by the CUDA driver inside cuInit, on whatever thread came first, with
   or without the GIL. */
EXPORT int InitializeInjection(void) {
  char path[INVACT_PATH];
  if (invact_switched_off()) return 1;
  if (!invact_find_library("libtorch_cpu.so", path)) {
    /* CUDA came before torch: our initModule is made visible to the libraries
       mapped from now on, as if we had been preloaded. */
    if (own_path(path)) dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_GLOBAL);
    return 1;
  }
  if (!invact_find_library("libtorch_python.so", path)) {
    attach(NULL);
    return 1;
  }
  /* Python makes a pending call on its main thread between two of its
     instructions. */
  add_pending_call add =
      (add_pending_call)dlsym(RTLD_DEFAULT, "Py_AddPendingCall");
  if (add != NULL) add(attach_pending, NULL);
  return 1;
}

/* A C++ job has libtorch mapped by now; a Python one never has. */
__attribute__((constructor)) static void on_load(void) {
  char python[INVACT_PATH];
  Dl_info self;
  invact_look_at_stderr();
  if (invact_switched_off()) return;
  if (dladdr((void*)&on_load, &self) != 0 && self.dli_fname != NULL &&
      self.dli_fname[0] != '/' && realpath(self.dli_fname, g_self) == NULL) {
    g_self[0] = '\0';
  }
  if (!invact_find_library("libtorch_python.so", python)) attach(NULL);
}
