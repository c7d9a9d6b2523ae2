#include "plugin/fuse/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plugin/fuse/source.h"
#include "tests/unit/fuse/samples.h"

namespace invact::fuse {
namespace {

using ::testing::HasSubstr;

// The part of a source between two texts.
std::string Between(const std::string& source, const std::string& from,
                    const std::string& to) {
  const size_t begin = source.find(from);
  return source.substr(begin, source.find(to, begin) - begin + to.size());
}

TEST(FuseProgram, EqualProgramsHashAlikeAndEveryPartCounts) {
  const Program program = GeluNew(Dtype::kBf16);
  const ProgramHash hash;

  EXPECT_EQ(program, GeluNew(Dtype::kBf16));
  EXPECT_EQ(hash(program), hash(GeluNew(Dtype::kBf16)));

  std::vector<Program> others(6, program);
  others[0].inputs[0].pattern = Pattern::kScalar;
  others[1].steps[0].b.value = -0.5;
  others[2].steps[3].alpha = 2;
  others[3].outputs.pop_back();
  others[4].steps[7].a = S(1);
  others[5].steps[0].b.value = 0.5000000000000001;
  for (const Program& other : others) {
    EXPECT_FALSE(other == program);
    EXPECT_NE(hash(other), hash(program));
  }
}

TEST(FuseProgram, ZeroAndMinusZeroAreTwoPrograms) {
  Program plus = SwiGlu(Dtype::kBf16), minus = plus;
  plus.steps[1].b = Imm(0.0);
  minus.steps[1].b = Imm(-0.0);

  EXPECT_FALSE(plus == minus);
}

TEST(FuseProgram, WhatWouldRoundOtherwiseIsRefused) {
  const auto flaw = [](auto change) {
    Program program = SwiGlu(Dtype::kBf16);
    change(&program);
    return WhyRefused(program);
  };

  EXPECT_EQ(flaw([](Program*) {}), "");
  EXPECT_THAT(flaw([](Program* p) { p->steps[1].result = Dtype::kF32; }),
              HasSubstr("promote"));
  EXPECT_THAT(flaw([](Program* p) { p->inputs[1].dtype = Dtype::kF32; }),
              HasSubstr("promote"));
  EXPECT_THAT(flaw([](Program* p) { p->steps[0].a = S(1); }),
              HasSubstr("earlier"));
  EXPECT_THAT(flaw([](Program* p) { p->steps[0].a = X(2); }),
              HasSubstr("earlier"));
  EXPECT_THAT(flaw([](Program* p) {
                p->outputs = {0, 0};
              }),
              HasSubstr("twice"));
  EXPECT_THAT(flaw([](Program* p) { p->outputs = {2}; }), HasSubstr("no step"));
  EXPECT_THAT(flaw([](Program* p) {
                p->steps[1] = {Op::kPow, Dtype::kBf16, S(0), Imm(1.7)};
              }),
              HasSubstr("exponent"));
  EXPECT_THAT(flaw([](Program* p) { p->outputs.clear(); }),
              HasSubstr("no inputs"));
  EXPECT_THAT(
      flaw([](Program* p) { p->steps.resize(kMostSteps + 1, p->steps[0]); }),
      HasSubstr("long"));
}

TEST(FuseSource, GeluNewRoundsAfterEachOfItsEightOps) {
  EXPECT_EQ(Between(Source(GeluNew(Dtype::kBf16)), "D void compute(", "}\n"),
            R"(D void compute(float x0, u16& o0, u16& o1, u16& o2, u16& o3) {
  const float s0 = round_bf16(x0 * bits(0x3f000000u));
  const float s1 = round_bf16(round_bf16((x0 * x0)) * x0);
  const float s2 = round_bf16(s1 * bits(0x3d372713u));
  const float s3 = round_bf16(x0 + s2);
  const float s4 = round_bf16(s3 * bits(0x3f4c422au));
  const float s5 = round_bf16(tanhf(s4));
  const float s6 = round_bf16(s5 + bits(0x3f800000u));
  const float s7 = round_bf16(s0 * s6);
  o0 = high(s0);
  o1 = high(s5);
  o2 = high(s6);
  o3 = high(s7);
}
)");
}

TEST(FuseSource, RmsNormReadsItsStatisticByRowAndItsWeightByColumn) {
  const std::string source = Source(RmsNorm(Dtype::kF16));

  EXPECT_EQ(
      Between(source, "D void compute(", "}\n"),
      R"(D void compute(float x0, float x1, float x2, float& o0, u16& o1, u16& o2) {
  const float s0 = x0;
  const float s1 = s0 * x1;
  const float s2 = round_f16(s1);
  const float s3 = round_f16(x2 * s2);
  o0 = s0;
  o1 = to_f16(s2);
  o2 = to_f16(s3);
}
)");
  EXPECT_THAT(source, HasSubstr("from_f16(p0[i]), p1[row], from_f16(p2[col])"));
  EXPECT_THAT(source, HasSubstr("*(const H4*)(p2 + col)"));
}

}  // namespace
}  // namespace invact::fuse
