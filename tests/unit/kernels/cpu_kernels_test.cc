// The suite on every instruction set that this processor has, and the CPU
// library's registration.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

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
    for (int k = 0; k < isa.set.count; ++k) {
      for (Subject& subject :
           SubjectsOf(isa.name, isa.set.activations[k], memory)) {
        subjects.push_back(std::move(subject));
      }
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

  std::set<std::pair<std::string, std::string>> names;
  for (const invact_activation* activation : added) {
    names.emplace(activation->op, activation->variant);
    EXPECT_EQ(activation->size, sizeof(invact_activation));
    EXPECT_EQ(activation->device, uint32_t{INVACT_CPU});
    EXPECT_EQ(activation->dtypes, 7u);
    EXPECT_EQ(activation->mark != nullptr, activation->side_bits == 1);
    EXPECT_EQ(activation->accepts != nullptr, activation->parameters > 0);
  }
  EXPECT_EQ(names.size(), added.size());
  const std::set<std::pair<std::string, std::string>> expected = {
      {"aten::gelu", "none"},    {"aten::gelu", "tanh"},
      {"aten::silu", ""},        {"aten::mish", ""},
      {"aten::hardswish", ""},   {"aten::softplus", ""},
      {"aten::hardsigmoid", ""}, {"aten::log_sigmoid_forward", ""}};
  EXPECT_EQ(names, expected);
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
