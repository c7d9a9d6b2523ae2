#include "daemon/report/kernels.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/unit/report/run_builder.h"

namespace invact {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::ListKernelsResponse Kernels() {
  v1::ListKernelsResponse out;
  *out.mutable_run() = RunBuilder().run();
  v1::KernelCalibration& gelu = *out.add_kernels();
  gelu.set_op("aten::gelu");
  gelu.set_dtype("bfloat16");
  gelu.set_device("cuda:0");
  gelu.set_library("built-in");
  gelu.set_side_bits(1);
  gelu.set_floor_max(1.06e-2);
  gelu.set_floor_rms(1.41e-3);
  gelu.set_stated_max(1.3e-2);
  gelu.set_stated_rms(1.6e-3);
  gelu.set_error_max(1.0999e-2);
  gelu.set_error_rms(0);
  gelu.set_served(true);
  v1::KernelCalibration& snake = *out.add_kernels();
  snake.set_op("mine::snake");
  snake.set_dtype("float32");
  snake.set_device("cpu");
  snake.set_library("/opt/libmine.so");
  snake.set_reason("CALIBRATION_FAILED");
  snake.set_detail("NaN at\x1b[31m x = 3");
  return out;
}

TEST(KernelsToText, HasOneLineAKernelAndSaysWhatIsWrong) {
  const std::string text = KernelsToText(Kernels(), TextStyle());

  EXPECT_THAT(text, HasSubstr("op           dtype     device  bits    floor    "
                              "  rms   stated      rms "
                              " measured  rms  served  library\n"
                              "aten::gelu   bfloat16  cuda:0     1  1.06e-2  "
                              "1.41e-3  1.30e-2  1.60e-3 "
                              "  1.10e-2    0  yes     built-in\n"
                              "mine::snake  float32   cpu        -        -    "
                              "    -        -        - "
                              "        -    -  no      /opt/libmine.so\n"));
  EXPECT_THAT(text, HasSubstr("not served: mine::snake float32 on cpu  "
                              "CALIBRATION_FAILED\n"));
  EXPECT_THAT(text, HasSubstr("the kernel did not meet its stated error bound "
                              "on this machine: NaN at"));
  EXPECT_THAT(text, HasSubstr("mend /opt/libmine.so"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("measured: in this run"));
  EXPECT_THAT(text, HasSubstr("PyTorch keeps their output"));
}

TEST(KernelsToText, WithoutKernelsSaysWhy) {
  v1::ListKernelsResponse none;
  *none.mutable_run() = RunBuilder().run();
  none.set_why_none("because");
  EXPECT_THAT(KernelsToText(none, TextStyle()),
              HasSubstr("No kernels: because\n"));
}

TEST(KernelsToJson, FollowsItsSchema) {
  const auto json = nlohmann::json::parse(KernelsToJson(Kernels()));

  EXPECT_EQ(json["schema"], "invact.kernels/v1");
  EXPECT_EQ(json["run"]["id"], RunBuilder().run().id());
  EXPECT_TRUE(json["why_none"].is_null());
  ASSERT_EQ(json["kernels"].size(), 2u);
  EXPECT_EQ(json["kernels"][0], nlohmann::json::parse(R"({
    "op": "aten::gelu", "dtype": "bfloat16", "device": "cuda:0",
    "library": "built-in", "side_bits": 1, "floor_max": 0.0106,
    "floor_rms": 0.00141, "stated_max": 0.013, "stated_rms": 0.0016,
    "error_max": 0.010999, "error_rms": 0.0, "served": true, "reason": null,
    "detail": null, "next": null})"));
  const auto& failed = json["kernels"][1];
  EXPECT_EQ(failed["served"], false);
  EXPECT_EQ(failed["reason"], "CALIBRATION_FAILED");
  for (const char* key :
       {"side_bits", "floor_max", "stated_rms", "error_max"}) {
    ASSERT_TRUE(failed.contains(key)) << key;
    EXPECT_TRUE(failed[key].is_null()) << key;
  }
  EXPECT_THAT(std::string(failed["next"]), HasSubstr("INVACT_KERNELS"));
}

TEST(WhyNoKernels, TellsTheFirstThingThatIsInTheWay) {
  v1::Run run = RunBuilder().run();
  StoredKernels told;
  told.told = true;
  run.set_policy("observe");
  run.set_exact(true);
  EXPECT_THAT(WhyNoKernels(run, {}), HasSubstr("policy observe inverts"));
  EXPECT_THAT(WhyNoKernels(run, told), HasSubstr("--policy invert"));
  run.set_policy("invert");
  EXPECT_THAT(WhyNoKernels(run, told), HasSubstr("without INVACT_EXACT"));
  run.set_exact(false);
  EXPECT_THAT(WhyNoKernels(run, {}), HasSubstr("record it again"));
  run.set_state("running");
  EXPECT_THAT(WhyNoKernels(run, told), HasSubstr("so far"));
  run.set_state("finished");
  EXPECT_THAT(WhyNoKernels(run, told),
              HasSubstr("invact report " + run.id().substr(0, 8)));
  told.inverted = true;
  EXPECT_THAT(WhyNoKernels(run, told), HasSubstr("does not calibrate"));
}

TEST(NextForKernel, IsEmptyWhereServedAndPointsToDoctorForOurOwn) {
  v1::KernelCalibration kernel;
  kernel.set_library("built-in");
  EXPECT_THAT(NextForKernel(kernel), HasSubstr("invact doctor"));
  kernel.set_served(true);
  EXPECT_EQ(NextForKernel(kernel), "");
}

}  // namespace
}  // namespace invact
