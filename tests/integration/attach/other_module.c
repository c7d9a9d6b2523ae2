/* A library that defines initModule, as torch's does, and makes a Python
   extension module of the name OTHER_NAME. Python.h is not needed for this
   little; the layout of PyModuleDef is that of Python 3.5 and later. */
#include <stddef.h>

struct module_def {
  ptrdiff_t references;
  void *type, *init;
  ptrdiff_t index;
  void* copy;
  const char *name, *doc;
  ptrdiff_t size;
  void *methods, *slots, *traverse, *clear, *free;
};

void* PyModule_Create2(struct module_def* def, int api_version);
int PyModule_AddStringConstant(void* module, const char* name,
                               const char* value);

void* initModule(void) {
  static struct module_def def = {
      .references = 1, .name = OTHER_NAME, .size = -1};
  void* module = PyModule_Create2(&def, 1013);
  if (module != NULL) {
    PyModule_AddStringConstant(module, "origin", OTHER_NAME);
  }
  return module;
}
