// Notice of what changes a saved tensor without any op: a storage that is
// resized (`x.untyped_storage().resize_(0)`, as sharded parameters are), a
// variable that is given other data (`y.data = ...`). Whatever is held or to be
// rebuilt in its place is dealt with first, as before a write.
//
// Python jobs, and libtorch's own calls; calls that a C++ program makes itself
// are not seen.
//
// Threads: any.
#ifndef INVACT_PLUGIN_SUBSTITUTE_STORAGE_GUARD_H_
#define INVACT_PLUGIN_SUBSTITUTE_STORAGE_GUARD_H_

#include <string>

namespace invact {

// Once. False with the reason.
bool InstallStorageGuard(bool python, bool cuda, std::string* error) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_SUBSTITUTE_STORAGE_GUARD_H_
