// Compiled kernels on disk, so that the next process need not compile. A file
// that is damaged, or of another key, reads as not there; what can't be
// written is not kept. The folder is this user's alone.
//
// Threads: any; processes may share the folder (files are renamed into place).
#ifndef INVACT_PLUGIN_FUSE_COMPILED_FILES_H_
#define INVACT_PLUGIN_FUSE_COMPILED_FILES_H_

#include <string>

namespace invact::fuse {

class CompiledFiles {
 public:
  explicit CompiledFiles(std::string folder);  // empty: keeps nothing
  ~CompiledFiles();
  CompiledFiles(const CompiledFiles&) = delete;
  CompiledFiles& operator=(const CompiledFiles&) = delete;

  // Empty where there is none. `key`: all that decides on the code.
  std::string Read(const std::string& key) const;
  void Write(const std::string& key, const std::string& code) const;

 private:
  int folder_ = -1;
};

}  // namespace invact::fuse

#endif  // INVACT_PLUGIN_FUSE_COMPILED_FILES_H_
