#include "daemon/report/tool_json.h"

#include <gtest/gtest.h>

namespace invact {
namespace {

TEST(DoctorToJson, FollowsItsSchema) {
  EXPECT_EQ(DoctorToJson({{"daemon", "ok", "answers", ""},
                          {"socket", "fail", "not private", "chmod 700"}}),
            R"({
  "schema": "invact.doctor/v1",
  "checks": [
    {
      "name": "daemon",
      "status": "ok",
      "detail": "answers",
      "fix": null
    },
    {
      "name": "socket",
      "status": "fail",
      "detail": "not private",
      "fix": "chmod 700"
    }
  ]
}
)");
}

TEST(VersionToJson, FollowsItsSchema) {
  EXPECT_EQ(VersionToJson({"0.1.0", "1.0", 1, {"2.11"}}), R"({
  "schema": "invact.version/v1",
  "version": "0.1.0",
  "protocol": "1.0",
  "database": 1,
  "plugins": [
    "2.11"
  ]
}
)");
}

TEST(ErrorToJson, IsOneLineWhateverIsInIt) {
  EXPECT_EQ(ErrorToJson("not_found", "no run \"a\nb\"", ""),
            "{\"error\":{\"code\":\"not_found\",\"message\":"
            "\"no run \\\"a\\nb\\\"\",\"next\":null}}\n");
}

}  // namespace
}  // namespace invact
