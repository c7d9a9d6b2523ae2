// What the kernel suite runs on: one activation of one library, and the memory
// that it works in. The CPU and the GPU test programs each give their own list.
#ifndef INVACT_TESTS_UNIT_KERNELS_SUBJECT_H_
#define INVACT_TESTS_UNIT_KERNELS_SUBJECT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/kernel_api.h"

namespace invact::kernels {

class Memory {
 public:
  virtual ~Memory() = default;
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* memory) = 0;
  virtual void CopyIn(void* to, const void* from, size_t bytes) = 0;
  // Waits for all kernels first.
  virtual void CopyOut(void* to, const void* from, size_t bytes) = 0;
};

struct Subject {
  std::string name;  // "avx2_gelu_none"
  const invact_activation* activation;
  std::shared_ptr<Memory> memory;
  int reference;  // enum invact_reference_function
};

// Defined by each test program. Empty: nothing to test on this machine.
const std::vector<Subject>& Subjects();

// From "aten::gelu", "tanh" to the reference's function.
int ReferenceOf(const invact_activation& activation);

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_SUBJECT_H_
