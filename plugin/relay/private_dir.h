// Folders that only this user can enter, by descriptor, so that nobody can
// swap a name between the check and the use.
#ifndef INVACT_PLUGIN_RELAY_PRIVATE_DIR_H_
#define INVACT_PLUGIN_RELAY_PRIVATE_DIR_H_

#include <string>

namespace invact {

// Makes the folder and its missing parents with mode 0700, and opens it: it
// must be a folder (no link), belong to this user, and grant nothing to
// anybody else. -1 with what is wrong and what to do.
int OpenPrivateDir(const std::string& path, std::string* error);

// The same for one name below an open folder.
int OpenPrivateDirAt(int parent, const std::string& name, std::string* error);

}  // namespace invact

#endif  // INVACT_PLUGIN_RELAY_PRIVATE_DIR_H_
