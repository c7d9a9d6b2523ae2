// The suite on every instruction set that this processor has, and the CPU
// library's registration.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "kernels/cpu/isa.h"
#include "tests/unit/kernels/patterns.h"
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

// Of each activation, what backward said to a dtype with a table before it was
// prepared.
std::vector<int>& SaidUnprepared() {
  static std::vector<int> said;
  return said;
}

// As a host does before the first call.
void Prepare(const Subject& subject) {
  const invact_activation& a = *subject.activation;
  for (int dtype = 0; dtype < INVACT_DTYPES; ++dtype) {
    if ((a.table_dtypes >> dtype & 1) == 0) continue;
    const invact_call call = {sizeof(call), dtype, nullptr, nullptr, 0};
    uint64_t memory[4] = {};
    SaidUnprepared().push_back(
        a.backward(&call, memory, memory, memory, memory, 1));
    const Patterns patterns(dtype, subject.reference);
    EXPECT_EQ(a.prepare(&call, &patterns.view), 0) << subject.name;
  }
}

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
        Prepare(subject);
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
      {"aten::hardsigmoid", ""}, {"aten::log_sigmoid_forward", ""},
      {"aten::leaky_relu", ""}};
  EXPECT_EQ(names, expected);
}

TEST(CpuTables, NothingIsServedBeforeItIsPrepared) {
  Subjects();
  ASSERT_FALSE(SaidUnprepared().empty());
  for (const int said : SaidUnprepared()) EXPECT_EQ(said, INVACT_NOT_PREPARED);
}

TEST(CpuTables, BadPatternsAreRefused) {
  const invact_activation& gelu = *Subjects().at(0).activation;
  const Patterns good(INVACT_BF16, INVACT_REFERENCE_GELU);
  const invact_call call = {sizeof(call), INVACT_BF16, nullptr, nullptr, 0};
  const invact_call other = {sizeof(call), INVACT_F32, nullptr, nullptr, 0};
  const invact_patterns no_y = {sizeof(no_y), 0, nullptr, good.slope.data()};
  const invact_patterns no_slope = {sizeof(no_y), 0, good.y.data(), nullptr};
  EXPECT_NE(gelu.prepare(&call, nullptr), 0);
  EXPECT_NE(gelu.prepare(nullptr, &good.view), 0);
  EXPECT_NE(gelu.prepare(&other, &good.view), 0);
  EXPECT_NE(gelu.prepare(&call, &no_y), 0);
  EXPECT_NE(gelu.prepare(&call, &no_slope), 0);
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
