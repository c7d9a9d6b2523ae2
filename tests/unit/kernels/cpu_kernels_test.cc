// The suite on every instruction set that this processor has, and the CPU
// library's registration.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "kernels/cpu/isa.h"
#include "tests/unit/kernels/subject.h"

namespace invact::kernels {
namespace {

class HostMemory : public Memory {
 public:
  void* Allocate(size_t bytes) override { return std::malloc(bytes); }
  void Free(void* memory) override { std::free(memory); }
  void CopyIn(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void CopyOut(void* to, const void* from, size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
};

std::vector<Subject> MakeSubjects() {
  std::vector<Subject> subjects;
  const auto memory = std::make_shared<HostMemory>();
  const IsaList known = KnownIsas();
  for (int i = 0; i < known.count; ++i) {
    const Isa& isa = known.isas[i];
    if (!isa.supported) continue;
    for (int k = 0; k < kActivations; ++k) {
      const invact_activation& activation = isa.activations[k];
      const std::string op = std::string(activation.op).substr(6);
      const std::string variant = activation.variant;
      subjects.push_back({std::string(isa.name) + "_" + op +
                              (variant == "tanh" ? "_tanh" : ""),
                          &activation, memory, ReferenceOf(activation)});
    }
  }
  return subjects;
}

int Collect(void* ctx, const invact_activation* activation) {
  static_cast<std::vector<const invact_activation*>*>(ctx)->push_back(
      activation);
  return 0;
}

TEST(CpuRegistration, OffersEachActivationOnce) {
  std::vector<const invact_activation*> added;
  const invact_registry registry = {sizeof(invact_registry), INVACT_KERNEL_ABI,
                                    &added, Collect};

  ASSERT_EQ(invact_register_cpu_kernels(&registry), 0);

  ASSERT_EQ(added.size(), 3u);
  for (const invact_activation* activation : added) {
    EXPECT_EQ(activation->size, sizeof(invact_activation));
    EXPECT_EQ(activation->device, uint32_t{INVACT_CPU});
    EXPECT_EQ(activation->dtypes, 7u);
    EXPECT_EQ(activation->side_bits, 1u);
  }
  EXPECT_STREQ(added[0]->variant, "none");
  EXPECT_STREQ(added[1]->variant, "tanh");
  EXPECT_STREQ(added[2]->op, "aten::silu");
}

TEST(CpuRegistration, RefusesAHostOfAnotherAbi) {
  std::vector<const invact_activation*> added;
  invact_registry registry = {sizeof(invact_registry), INVACT_KERNEL_ABI + 1,
                              &added, Collect};
  EXPECT_EQ(invact_register_cpu_kernels(&registry), INVACT_BAD_ARGUMENT);
  registry.abi = INVACT_KERNEL_ABI;
  registry.size = 4;
  EXPECT_EQ(invact_register_cpu_kernels(&registry), INVACT_BAD_ARGUMENT);
  EXPECT_EQ(invact_register_cpu_kernels(nullptr), INVACT_BAD_ARGUMENT);
  EXPECT_TRUE(added.empty());
}

}  // namespace

const std::vector<Subject>& Subjects() {
  static const std::vector<Subject> subjects = MakeSubjects();
  return subjects;
}

}  // namespace invact::kernels
