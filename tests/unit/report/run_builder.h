// Hand-made stored runs for tests. The builder adds the totals up itself, so
// that a report's sums have something to be compared with.
#ifndef INVACT_TESTS_UNIT_REPORT_RUN_BUILDER_H_
#define INVACT_TESTS_UNIT_REPORT_RUN_BUILDER_H_

#include <cstdint>
#include <map>
#include <string>

#include "daemon/store/stored_run.h"

namespace invact {

inline constexpr int64_t kKiB = 1024;
inline constexpr int64_t kMiB = 1024 * kKiB;
inline constexpr int64_t kGiB = 1024 * kMiB;
inline constexpr int64_t kMs = 1'000'000;  // in ns

class RunBuilder {
 public:
  RunBuilder();

  v1::Run& run() { return stored_.run; }
  // Totals of the step that Finish adds; times and peak may be set before.
  v1::StepTotals& totals() { return *table_.mutable_totals(); }
  StoredRun& stored() { return stored_; }

  // A block that ran once; forward_ns by the host's clock.
  void Block(const std::string& name, int64_t input_bytes, int64_t forward_ns,
             int calls = 1);

  struct Save {
    std::string op;
    int64_t bytes = 0;
    std::string dtype = "bfloat16";
    std::string category = "activation";
  };
  // The module's next call site keeps what PyTorch would keep.
  v1::SiteRow& Keep(const std::string& module, const Save& save);
  v1::SiteRow& Decline(const std::string& module, const Save& save,
                       const std::string& reason);
  // Another site owns what this one saves.
  void Shared(const std::string& module, const std::string& op);
  // Baseline `bytes`; one bit an element of two bytes is kept instead.
  v1::SiteRow& Invert(const std::string& module, const Save& save);

  // Adds the rows up into the totals.
  void Sum();
  // The step becomes the last complete one, number `index`, and one of the
  // run's; its rows stay for further steps.
  RunBuilder& Complete(int64_t index);
  // The step becomes the one under way in that phase.
  RunBuilder& Live(int64_t index, const std::string& phase);
  // The last complete step is also the largest.
  RunBuilder& AlsoMax();

  StoredRun Take() { return std::move(stored_); }

 private:
  uint32_t ScopeOf(const std::string& name, bool block);
  v1::SiteRow& Row(const std::string& module, const Save& save);

  StoredRun stored_;
  v1::SiteTable table_;
  std::map<std::string, uint32_t> scopes_;
  std::map<uint32_t, uint32_t> saves_;  // of each scope
};

}  // namespace invact

#endif  // INVACT_TESTS_UNIT_REPORT_RUN_BUILDER_H_
