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
  std::vector<double> scalars = {};
};

// Defined by each test program. Empty: nothing to test on this machine.
const std::vector<Subject>& Subjects();

// One for each case of the activation, named "prefix_gelu_tanh".
std::vector<Subject> SubjectsOf(const std::string& prefix,
                                const invact_activation& activation,
                                const std::shared_ptr<Memory>& memory);

}  // namespace invact::kernels

#endif  // INVACT_TESTS_UNIT_KERNELS_SUBJECT_H_
