// Whether two runs of one job had the same losses and gradients, step by step.
// Pure functions: any thread.
//
// A difference that was seen is one, whatever else was not seen; equal is said
// only where every complete step of both runs told of the same losses or
// parameters and all of them agree.
#ifndef INVACT_DAEMON_REPORT_COMPARE_DIGESTS_H_
#define INVACT_DAEMON_REPORT_COMPARE_DIGESTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/store/stored_run.h"

namespace invact {

// One process of a job.
struct RunDigests {
  int32_t rank = 0;
  int32_t restart = 0;
  StoredDigests stored;
};

enum class Verdict { kEqual, kDiffer, kUnseen };

struct Agreement {
  Verdict verdict = Verdict::kUnseen;
  int64_t first_step = -1;         // kDiffer: the first that differs
  std::vector<std::string> names;  // kDiffer: what differs in that step
  std::string why;                 // kDiffer, kUnseen: for people
};
struct DigestAgreement {
  Agreement losses;
  Agreement gradients;
};

// Of all processes of a job: a rank that only one of them has is unseen.
DigestAgreement CompareDigests(const std::vector<RunDigests>& job,
                               const std::vector<RunDigests>& reference);

// Of several comparisons: the first difference, else the first that was not
// seen, else equal. Unseen, with `why_none`, where there are none.
Agreement Together(const std::vector<Agreement>& all,
                   const std::string& why_none);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_COMPARE_DIGESTS_H_
