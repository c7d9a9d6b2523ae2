// Whether one call of a block may be made twice.
//
// Threads: with the GIL; no Python error is left set.
#ifndef INVACT_PLUGIN_PYTHON_BLOCK_DECLINE_H_
#define INVACT_PLUGIN_PYTHON_BLOCK_DECLINE_H_

#include <cstddef>
#include <vector>

#include "plugin/python/python_api.h"
#include "proto/codes.h"

namespace invact {

enum class CallVerdict { kCheckpoint, kPlain, kDeclined };

// kPlain: nothing is recorded here, so there is nothing to decline. `total`
// arguments, those by keyword with them. On kCheckpoint `tensors` are all those
// among them, borrowed.
CallVerdict JudgeCall(PyObject* const* arguments, size_t total, Reason* reason,
                      std::vector<PyObject*>* tensors);

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_BLOCK_DECLINE_H_
