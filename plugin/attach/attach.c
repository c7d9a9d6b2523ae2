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
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plugin/attach/config.h"
#include "plugin/attach/old_symbols.h"
#include "plugin/attach/torch_library.h"
#include "plugin/attach/voice.h"
#include "plugin/plugin_api.h"

#define EXPORT __attribute__((visibility("default")))

typedef void* (*init_module)(void);
typedef int (*plugin_start)(const struct invact_start*);
typedef int (*add_pending_call)(int (*)(void*), void*);

static int g_started;

/* <folder>/libinvact-torch2.11.0+cu130.so, else
   <folder>/libinvact-torch2.11.so. 0 when neither is there. */
static int find_plugin(const char* folder, const char* version, char* plugin,
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

/* `torch_c`: the module torch._C where Python is just making it. */
static void attach(void* torch_c) {
  char torch[INVACT_PATH], other[INVACT_PATH], folder[INVACT_PATH];
  char version[INVACT_VERSION_SIZE], plugin[INVACT_PATH + 128];
  Dl_info self;
  if (invact_switched_off()) return;
  if (!invact_find_library("libtorch_cpu.so", torch)) return;
  if (__atomic_exchange_n(&g_started, 1, __ATOMIC_ACQ_REL)) return;
  if (dladdr((void*)&attach, &self) == 0) return;
  snprintf(folder, sizeof(folder), "%s", self.dli_fname);
  invact_to_folder(folder);
  if (!invact_torch_version(torch, version)) {
    invact_say(
        "%s has no version written beside it, so no plugin can be chosen; the "
        "job runs plain (next: invact doctor)",
        torch);
    return;
  }
  if (!find_plugin(folder, version, plugin, sizeof(plugin))) {
    invact_say(
        "no plugin for torch %s in %s; the job runs plain (next: scripts/setup "
        "--torch %.*s, or invact doctor)",
        version, folder, (int)strcspn(version, "+"), version);
    return;
  }
  void* library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  plugin_start start =
      library == NULL ? NULL
                      : (plugin_start)dlsym(library, "invact_plugin_start");
  if (start == NULL) {
    const char* error = dlerror();
    invact_say("%s does not load; the job runs plain (next: invact doctor): %s",
               plugin, error == NULL ? "it is no plugin" : error);
    return;
  }
  const struct invact_start facts = {
      INVACT_PLUGIN_ABI, folder,
      invact_find_library("libtorch_python.so", other), version, torch_c};
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
  char python[INVACT_PATH];
  Dl_info caller;
  init_module original = NULL;
  const int known = dladdr(__builtin_return_address(0), &caller) != 0 &&
                    caller.dli_fname != NULL;
  if (known) original = definition_in(caller.dli_fname);
  init_module of_torch = invact_find_library("libtorch_python.so", python)
                             ? definition_in(python)
                             : NULL;
  if (original == NULL && !torch_done) original = of_torch;
  if (original == NULL) {
    original = (init_module)dlsym(RTLD_NEXT, "initModule");
  }
  if (original == NULL) {
    invact_say("initModule was called by %s, which has none of its own",
               known ? caller.dli_fname : "code in no library");
    return NULL;
  }
  void* module = original();
  if (original == of_torch) {
    torch_done = 1;
    if (module != NULL) attach(module);
  }
  return module;
}

static int attach_pending(void* unused) {
  (void)unused;
  attach(NULL);
  return 0;
}

/* Called by the CUDA driver inside cuInit, on whatever thread came first, with
   or without the GIL: a Python job starts from a pending call, which Python
   makes on its main thread between two instructions. */
EXPORT int InitializeInjection(void) {
  char python[INVACT_PATH];
  if (invact_switched_off()) return 1;
  if (!invact_find_library("libtorch_python.so", python)) {
    attach(NULL);
    return 1;
  }
  add_pending_call add =
      (add_pending_call)dlsym(RTLD_DEFAULT, "Py_AddPendingCall");
  if (add != NULL) add(attach_pending, NULL);
  return 1;
}

/* A C++ job has libtorch mapped by now; a Python one never has. */
__attribute__((constructor)) static void on_load(void) {
  char python[INVACT_PATH];
  if (invact_switched_off()) return;
  if (!invact_find_library("libtorch_python.so", python)) attach(NULL);
}
