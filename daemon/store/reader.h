// The reading side of the database: read-only connections, kept for reuse.
//
// Reader: any thread. ReadSession: one thread, one consistent snapshot from
// its first query to its end. Sessions must be short: a snapshot keeps the log
// from being emptied, so each has a deadline after which its queries end with
// kDeadlineExceeded.
#ifndef INVACT_DAEMON_STORE_READER_H_
#define INVACT_DAEMON_STORE_READER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/store/database.h"
#include "daemon/store/stored_run.h"
#include "invact/v1/run.pb.h"

namespace invact {

struct RunRow {
  int64_t pk = 0;
  int64_t started_ns = 0;
  int64_t peak_bytes = 0;       // allocated, 0: not known
  int64_t peak_held_bytes = 0;  // saved tensors
  v1::Run run;
};

struct RunFilter {
  std::string job_id;  // empty: any
  std::string state;   // empty: any
  // Only runs older than this place in the order "newest first".
  std::optional<int64_t> before_started_ns;
  int64_t before_pk = 0;
  int64_t limit = 100;
};

struct ComparisonRow {
  int64_t pk = 0;
  v1::Comparison comparison;
};

// Where a page of events begins.
struct EventPlace {
  int64_t seq = 0;
  int64_t offset = 0;  // records of that batch to leave out
};
struct EventPage {
  std::vector<v1::Event> events;
  std::optional<EventPlace> next;
};

struct MemoryCurveFilter {
  int64_t first_step = 0, last_step = 0;  // inclusive
  int64_t buckets = 0;                    // at least 1
  std::optional<int64_t> device;
  std::string category;  // empty: all together
};

struct ChangeCurveFilter {
  int64_t first_step = 0, last_step = 0;  // inclusive
  int64_t buckets = 0;                    // at least 1
  std::optional<int64_t> device;
  std::string category;  // empty: all together; also "reserved"
  std::optional<std::string> layer;
  std::optional<int64_t> ordinal;  // the call site of the layer, no category
  bool no_layer = false;           // in place of a layer: what none has
  // Up to so many records it is made of each of them; of more, of the summaries
  // of their blobs (memory_summary.h).
  int64_t open_records = 1'500'000;
};

class Reader;

class ReadSession {
 public:
  ReadSession(ReadSession&& other) noexcept = default;
  ~ReadSession();

  // Newest first.
  absl::StatusOr<std::vector<RunRow>> ListRuns(const RunFilter& filter);
  // All runs that a selector may mean, newest first: the run of that id, else
  // those of that job, else of that name, else those whose id begins so;
  // "@last": those of the newest job.
  absl::StatusOr<std::vector<RunRow>> Match(const std::string& selector);
  struct Usage {
    int64_t runs = 0;
    int64_t used_bytes = 0;      // of the file, without what is free in it
    int64_t events_expired = 0;  // dropped by the quota
  };
  absl::StatusOr<Usage> CountUsage();
  // Ids of the runs that have no end.
  absl::StatusOr<std::vector<std::string>> RunningRuns();

  // Everything that the analysis needs; at most kMaxSteps newest steps.
  absl::StatusOr<StoredRun> Load(const RunRow& row);
  // Ascending, first to last inclusive; last 0: no end.
  absl::StatusOr<std::vector<v1::StepTotals>> Steps(int64_t run, int64_t first,
                                                    int64_t last,
                                                    int64_t limit);
  absl::StatusOr<std::optional<v1::StepTotals>> NewestStep(int64_t run);
  absl::StatusOr<StoredKernels> Kernels(int64_t run);
  absl::StatusOr<StoredDigests> Digests(int64_t run);
  // By step and device, first to last inclusive; -1: before the first step.
  absl::StatusOr<std::vector<v1::MemoryStep>> MemorySteps(int64_t run,
                                                          int64_t first,
                                                          int64_t last);
  // kInvalidArgument: no such category.
  absl::StatusOr<std::vector<v1::MemoryCurve>> MemoryCurves(
      int64_t run, const MemoryCurveFilter& filter);
  // Of single changes, by device; none where the run told of none.
  // kInvalidArgument: no such category; kNotFound: no such layer or call site.
  absl::StatusOr<std::vector<v1::MemoryCurve>> ChangeCurves(
      int64_t run, const ChangeCurveFilter& filter);
  // What a report of that step says of device memory.
  absl::StatusOr<StoredMemory> Memory(int64_t run, int64_t step);
  // All whose id begins so, newest first; "@last": the newest.
  absl::StatusOr<std::vector<v1::Comparison>> MatchComparisons(
      const std::string& selector);
  // Newest first, only those stored before number `before`; 0: all.
  absl::StatusOr<std::vector<ComparisonRow>> ListComparisons(int64_t before,
                                                             int64_t limit);
  absl::StatusOr<EventPage> Events(int64_t run, int64_t first_step,
                                   int64_t last_step, EventPlace from,
                                   int64_t limit);

  static constexpr int64_t kMaxSteps = 100'000;
  static constexpr size_t kMaxDigestBytes = 64 << 20;

 private:
  friend class Reader;
  ReadSession(Reader* reader, std::unique_ptr<Database> db)
      : reader_(reader), db_(std::move(db)) {}
  absl::StatusOr<std::optional<v1::SiteTable>> LoadTable(int64_t run,
                                                         const char* kind);
  absl::Status LoadNames(int64_t run, StoredRun* out);
  absl::Status LoadRest(int64_t run, StoredRun* out);
  absl::Status FillMoments(int64_t run, v1::MemoryStep* step);
  absl::Status FillHolders(
      int64_t run, int64_t step, int64_t device, std::string_view moment,
      google::protobuf::RepeatedPtrField<v1::MemoryHolder>* out);

  Reader* reader_;
  std::unique_ptr<Database> db_;
};

class Reader {
 public:
  // The file must have been opened by a Store that is still open.
  explicit Reader(std::string path,
                  Database::Sharing sharing = Database::Sharing::kAnyProcess)
      : path_(std::move(path)), sharing_(sharing) {}

  absl::StatusOr<ReadSession> Start(absl::Time deadline);

 private:
  friend class ReadSession;
  void GiveBack(std::unique_ptr<Database> db);

  const std::string path_;
  const Database::Sharing sharing_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Database>> idle_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_READER_H_
