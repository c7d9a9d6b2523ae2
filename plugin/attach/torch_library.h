/* Finds libtorch in this process, and which version it is.

   libtorch has no C function that tells: the version stands in a text file
   beside the library. Where none is found no plugin is chosen, since one of
   another version would crash the job. */
#ifndef INVACT_PLUGIN_ATTACH_TORCH_LIBRARY_H_
#define INVACT_PLUGIN_ATTACH_TORCH_LIBRARY_H_

#include <stddef.h>

enum { INVACT_PATH = 4096, INVACT_VERSION_SIZE = 64 };

/* Path of a mapped library whose file name is `name` or begins with `name` and
   a dot. 0 when none is mapped. */
int invact_find_library(const char* name, char path[INVACT_PATH]);

/* How many libraries are mapped, the program itself among them, and the path of
   one of them in the order of loading; 0 when it is there no more. */
size_t invact_mapped_libraries(void);
int invact_mapped_library(size_t index, char path[INVACT_PATH]);

/* "2.11.0+cu130". `library` is the path of libtorch_cpu.so. 0: not known. */
int invact_torch_version(const char* library,
                         char version[INVACT_VERSION_SIZE]);

/* Cuts the file name off. */
void invact_to_folder(char* path);

#endif /* INVACT_PLUGIN_ATTACH_TORCH_LIBRARY_H_ */
