#include "plugin/observe/sites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

namespace invact {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Sites, AnExcludedScopeIsDeclinedBeforeAndAfterItsFirstSave) {
  Sites sites;
  const uint32_t early = sites.InternScope("layers.0.mlp.act", false);
  sites.Exclude({"layers.0.*", "head"});
  const uint32_t late = sites.InternScope("head", false);
  const uint32_t other = sites.InternScope("layers.10.mlp.act", false);

  EXPECT_EQ(sites.DeclinedAt(early, 0), Reason::kUserExcluded);
  EXPECT_EQ(sites.DeclinedAt(late, 3), Reason::kUserExcluded);
  EXPECT_EQ(sites.DeclinedAt(other, 0), Reason::kNone);

  sites.SiteFor(early, 0, "float32", Category::kActivation);

  EXPECT_EQ(sites.DeclinedAt(early, 0), Reason::kUserExcluded);
}

TEST(Sites, AGlobThatExcludesNothingIsNamedWithTheNearestScopes) {
  auto shared = std::make_unique<SharedRun>();
  Sites sites;
  sites.Attach(shared.get());
  sites.Exclude({"layer.0.*", "head", "*.act"});
  for (const char* name : {"layers.0.act", "layers.1.act", "head"}) {
    sites.InternScope(name, false);
  }

  EXPECT_THAT(sites.UnmatchedExcludes(),
              ElementsAre("INVACT_EXCLUDE=layer.0.* matches no module; "
                          "nearest: layers.0.act, layers.1.act, head"));

  for (uint32_t i = 0; i < kMaxScopes; ++i) {
    sites.InternScope("scope" + std::to_string(i), false);
  }
  EXPECT_THAT(sites.UnmatchedExcludes(), IsEmpty()) << "not all are known";
}

TEST(Sites, ARenewedScopeForgetsItsDeclinesAndOnlyThose) {
  Sites sites;
  const uint32_t scope = sites.InternScope("act", false);
  const uint32_t beside = sites.InternScope("other", false);
  const uint32_t site = sites.SiteFor(scope, 2, "float32", Category::kInput);
  const uint32_t kept = sites.SiteFor(beside, 0, "float32", Category::kInput);
  sites.At(site).declined = Reason::kOutputNotSaved;
  sites.At(kept).declined = Reason::kOutputNotSaved;

  sites.Renew(scope);

  EXPECT_EQ(sites.DeclinedAt(scope, 2), Reason::kNone);
  EXPECT_EQ(sites.DeclinedAt(beside, 0), Reason::kOutputNotSaved);
  EXPECT_EQ(sites.SiteFor(scope, 2, "float32", Category::kInput), site);
}

TEST(Sites, WhatDoesNotFitGoesIntoOneSiteAndIsCounted) {
  auto shared = std::make_unique<SharedRun>();
  Sites sites;
  sites.Attach(shared.get());
  const uint32_t scope = sites.InternScope("loop", false);

  EXPECT_EQ(sites.SiteFor(scope, 4096, "float32", Category::kInput),
            kOtherSite);

  uint32_t last = 0;
  for (uint32_t i = 0; i < kMaxScopes + 2; ++i) {
    last = sites.InternScope("scope" + std::to_string(i), false);
  }
  EXPECT_EQ(last, kRootScope);
  EXPECT_GE(shared->control.sites_overflowed.load(), 2u);
  EXPECT_EQ(shared->control.scope_count.load(), kMaxScopes);
}

}  // namespace
}  // namespace invact
