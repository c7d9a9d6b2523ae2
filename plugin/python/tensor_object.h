// Reads what a Python tensor object holds, without calling Python where torch's
// object layout is as expected. The layout (where the TensorImpl pointer
// stands) is checked once against the tensor's own `_cdata`; where it differs,
// attributes are asked instead.
//
// Threads: with the GIL. Tensors without memory of their own (fake, functional,
// distributed) have storage nullptr and 0 bytes. Nothing throws; no Python
// error is left set.
#ifndef INVACT_PLUGIN_PYTHON_TENSOR_OBJECT_H_
#define INVACT_PLUGIN_PYTHON_TENSOR_OBJECT_H_

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "plugin/python/python_api.h"

namespace invact {

bool IsTensorObject(PyObject* object) noexcept;

// The tensor, undefined where the layout is not as expected.
at::Tensor TensorOf(PyObject* tensor) noexcept;

// Address of the StorageImpl.
const void* StorageOf(PyObject* tensor) noexcept;

// Whether the tensor is a torch.nn.Parameter to Python. Without the GIL: reads
// the class of an object that lives as long as the tensor. True as well where
// nothing is known of Parameter (LearnParameterClass), as in C++ jobs.
bool IsParameterObject(const c10::TensorImpl& tensor) noexcept;
// Once torch.nn was imported, with the GIL.
void LearnParameterClass() noexcept;

// Whether the job has set attributes of its own on the tensor's object.
bool HasAttributes(const c10::TensorImpl& tensor) noexcept;

// numel * itemsize.
int64_t TensorBytes(PyObject* tensor) noexcept;

}  // namespace invact

#endif  // INVACT_PLUGIN_PYTHON_TENSOR_OBJECT_H_
