// Redirects a mapped library's own calls to an imported function: writes the
// address of ours into the library's relocation slots for that symbol, those
// in tables of virtual functions included where there are no others.
//
// Torch's libraries call their exported functions through such slots, also
// inside one library, so a call can be taken over without a symbol of ours
// being visible to anybody, in Python and C++ jobs, whichever way the plugin
// was loaded. Where a build has no such slot (linked with -Bsymbolic) nothing
// is written and the caller is told.
//
// Threads: a slot is one aligned pointer and is written atomically; other
// threads see the old or the new function. Never undone while code of ours may
// run: the plugin is never unloaded.
#ifndef INVACT_PLUGIN_OBSERVE_IMPORT_SLOT_H_
#define INVACT_PLUGIN_OBSERVE_IMPORT_SLOT_H_

#include <span>

namespace invact {

struct ImportPatch {
  const char* symbol;  // mangled
  void* replacement;
  int slots = 0;  // out: how many were written
};

// `library` is the file's base name, as "libtorch_cpu.so". False when it is
// not mapped or its tables can't be read.
bool PatchImports(const char* library, std::span<ImportPatch> patches) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_IMPORT_SLOT_H_
