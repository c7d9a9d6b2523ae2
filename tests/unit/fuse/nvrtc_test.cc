#include "plugin/fuse/nvrtc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "plugin/fuse/source.h"
#include "tests/unit/fuse/samples.h"

namespace invact::fuse {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class Nvrtc : public ::testing::Test {
 protected:
  void SetUp() override {
    if (NvrtcVersion().empty()) GTEST_SKIP() << "no libnvrtc on this machine";
  }
};

TEST_F(Nvrtc, EveryOpCompilesToPtxInEveryDtype) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
    // All ops of a dtype in one source would be one program; here each alone.
    for (const Program& program : EachOp(dtype)) {
      ASSERT_EQ(WhyRefused(program), "") << OpName(program.steps[0].op);
      const Compiled compiled = Compile(Source(program), 90, true);

      ASSERT_EQ(compiled.error, "") << Source(program);
      EXPECT_THAT(compiled.code, HasSubstr(".entry fused_vector"));
      EXPECT_THAT(compiled.code, HasSubstr(".entry fused_element"));
      EXPECT_THAT(compiled.code, Not(HasSubstr(".local")));
    }
  }
}

TEST_F(Nvrtc, ChainsReadAndWriteSixteenBytesAtOnce) {
  for (const Program& program :
       {GeluNew(Dtype::kBf16), RmsNorm(Dtype::kBf16), SwiGlu(Dtype::kF16)}) {
    const Compiled compiled = Compile(Source(program), 90, true);

    ASSERT_EQ(compiled.error, "");
    EXPECT_THAT(compiled.code, HasSubstr("ld.global.nc.v4"));
    EXPECT_THAT(compiled.code, HasSubstr("st.global.v4"));
    EXPECT_THAT(compiled.code, Not(HasSubstr(".local")));
  }
}

TEST_F(Nvrtc, CompilesToDeviceCodeWithoutADevice) {
  const Compiled compiled = Compile(Source(SwiGlu(Dtype::kBf16)), 90);

  ASSERT_EQ(compiled.error, "");
  EXPECT_EQ(compiled.code.substr(1, 3), "ELF");
}

TEST_F(Nvrtc, WrongSourceGivesTheCompilersOwnLine) {
  EXPECT_THAT(Compile("__global__ void f() { nothing(); }", 90).error,
              HasSubstr("error"));
}

}  // namespace
}  // namespace invact::fuse
