// Creates the memory that a traced process shares with its relay, and maps it
// on the other side.
#ifndef INVACT_PLUGIN_RING_SHARED_RUN_H_
#define INVACT_PLUGIN_RING_SHARED_RUN_H_

#include <string>

#include "plugin/ring/ring_layout.h"

namespace invact {

// A sealed memfd of sizeof(SharedRun), mapped and initialised. Pages cost
// nothing until they are touched. The mapping stays for the life of the
// process; the caller closes `*memfd` once the relay has its own. nullptr with
// the reason when the kernel refuses.
SharedRun* CreateSharedRun(int* memfd, std::string* error);

// Maps what a process hands over. Checks seals, size, magic and version;
// nothing inside is trusted beyond that (reader.h). nullptr with the reason.
SharedRun* MapSharedRun(int memfd_untrusted, std::string* error);

}  // namespace invact

#endif  // INVACT_PLUGIN_RING_SHARED_RUN_H_
