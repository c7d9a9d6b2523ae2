#define _GNU_SOURCE
#include "plugin/attach/init_module.h"

#include <dlfcn.h>
#include <stddef.h>

#include "plugin/attach/old_symbols.h"
#include "plugin/attach/torch_library.h"
#include "plugin/attach/voice.h"

typedef void* (*init_module)(void);

void* initModule(void);

/* What a call from this library would have reached: its own definition, else
   that of its dependencies. */
static init_module definition_in(const char* path) {
  void* library =
      path[0] == '\0' ? NULL : dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
  if (library == NULL) return NULL;
  init_module found = (init_module)dlsym(library, "initModule");
  dlclose(library); /* it stays mapped by whoever mapped it */
  return found == initModule ? NULL : found;
}

/* A stub leaves by a jump, so that Python itself looks like its caller. Python
   calls it right after loading it: it is the last library mapped, or the
   libraries it needs are. */
static init_module definition_in_last_mapped(void) {
  char path[INVACT_PATH];
  for (size_t left = invact_mapped_libraries(); left > 0; --left) {
    if (!invact_mapped_library(left - 1, path)) continue;
    init_module found = definition_in(path);
    if (found != NULL) return found;
  }
  return NULL;
}

void* invact_forward_init_module(const void* return_address, int* of_torch) {
  char python[INVACT_PATH];
  Dl_info caller;
  init_module original = NULL;
  const int known =
      dladdr(return_address, &caller) != 0 && caller.dli_fname != NULL;
  *of_torch = 0;
  if (known) original = definition_in(caller.dli_fname);
  if (original == NULL) original = definition_in_last_mapped();
  if (original == NULL) {
    original = (init_module)dlsym(RTLD_NEXT, "initModule");
  }
  if (original == NULL) {
    invact_say("initModule was called by %s, which has none of its own",
               known ? caller.dli_fname : "code in no library");
    return NULL;
  }
  *of_torch = invact_find_library("libtorch_python.so", python) &&
              original == definition_in(python);
  return original();
}
