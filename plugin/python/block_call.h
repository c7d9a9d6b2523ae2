// Calls a block under torch.utils.checkpoint, or says why not.
//
// torch is given a function of ours and the tensors among the block's
// arguments, also those in tuples and keywords: so it keeps them by autograd's
// own means (counted, their versions checked) and finds all devices whose
// generators matter. The function holds the call itself and makes it again in
// the second forward.
//
// Threads: with the GIL. Owner of what was found out about each block: itself.
#ifndef INVACT_PLUGIN_PYTHON_BLOCK_CALL_H_
#define INVACT_PLUGIN_PYTHON_BLOCK_CALL_H_

#include <cstddef>
#include <cstdint>

#include "plugin/checkpoint/choose_blocks.h"
#include "plugin/python/python_api.h"

namespace invact {

// Once: torch.nn.Module._call_impl, its own entry, and the entry that gives
// calls their scopes.
void PrepareBlockCalls(PyObject* call_impl, VectorCall plain,
                       VectorCall scoped) noexcept;

// The call of a module whose scope was just pushed. `keywords`: names, or
// nullptr. The result, or nullptr with Python's error set.
PyObject* CallBlock(PyObject* const* arguments, size_t count,
                    PyObject* keywords, BlockPlan plan);

// The module died.
void ForgetBlock(PyObject* module) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_BLOCK_CALL_H_
