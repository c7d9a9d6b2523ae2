// What a call of a block leaves behind apart from its result: attributes and
// buffers of the block and of the modules below it.
//
// Threads: with the GIL. Errors of Python are cleared; the job's own, where one
// is set, is to be kept by the caller.
#ifndef INVACT_PLUGIN_PYTHON_BLOCK_EFFECTS_H_
#define INVACT_PLUGIN_PYTHON_BLOCK_EFFECTS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "plugin/python/python_api.h"

namespace invact {

// The module and all below it, each once, borrowed.
std::vector<PyObject*> ModulesBelow(PyObject* module);

// The attributes and buffers of a block at one moment.
class BlockState {
 public:
  // Copies the buffers' values, too.
  static BlockState Of(PyObject* module);

  // Whether anything differs now: an attribute or a buffer is another object,
  // or a buffer was written.
  bool Changed() const;

  // Makes it as it was. Buffers are written without autograd's notice.
  void Restore() const;

 private:
  struct Dict {
    Ref dict;
    Ref copy;
  };
  struct Buffer {
    at::Tensor tensor;
    at::Tensor copy;
    int64_t version;
  };
  std::vector<Dict> dicts_;
  std::vector<Buffer> buffers_;
};

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_BLOCK_EFFECTS_H_
