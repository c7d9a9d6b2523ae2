// The writing side of the database, and its only writer and checkpointer.
//
// One thread owns a Store (the writer thread; main before it starts and after
// it ends). Writes come in groups: Begin, any calls, Commit. Nothing may be
// promised to anybody before Commit returned ok: from then on it survives a
// power cut (WAL, synchronous=FULL). After any error the group must be given
// up by Rollback; every call of it may then be made again, unchanged.
//
// Errors of a call are of two kinds: those about the request (kNotFound,
// kPermissionDenied, kFailedPrecondition, kInvalidArgument), found before the
// first write of that call, so that the group may go on; and those of the file
// (kResourceExhausted: disk full; kUnavailable; kDataLoss), after which the
// group must be rolled back.
#ifndef INVACT_DAEMON_STORE_STORE_H_
#define INVACT_DAEMON_STORE_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/store/database.h"
#include "daemon/store/lock_file.h"
#include "invact/v1/ingest.pb.h"

namespace invact {

struct StoreOptions {
  // A file in a directory that EnsurePrivateDir has seen.
  std::string path;
  LockOwner self = ThisProcess();
  // Above this, the oldest events go; rows of layers and steps stay. 0: none.
  int64_t quota_bytes = int64_t{10} << 30;
  Database::Sharing sharing = Database::Sharing::kAnyProcess;
  // A limit to the size of the file, as a full disk would set; 0: none.
  int64_t max_pages = 0;
};

// What a parent process knows of a dead child.
struct ParentTold {
  std::optional<int64_t> exit_code;
  std::optional<int64_t> signal;
};

struct OpenedRun {
  int64_t pk = 0;
  uint64_t last_seq = 0;  // newest batch that is stored
};

// True for an error about the file, after which a group is lost.
bool IsStoreFailure(const absl::Status& status);

class Store {
 public:
  // Takes the lock, sets a damaged file aside as <path>.corrupt-<time> and
  // starts a new one, brings an older schema up. `notes` gets what a person
  // must be told.
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const StoreOptions& options, std::vector<std::string>* notes);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  absl::Status Begin();
  absl::Status Commit();
  void Rollback();

  // --- inside a group ---

  // Registers the run of a validated hello, or goes on with the one that is
  // there if the secret is the same.
  absl::StatusOr<OpenedRun> OpenRun(const v1::Hello& hello, int64_t now_ns);
  // Stores a validated batch; one that is there already changes nothing.
  // kFailedPrecondition: a batch before it is missing. The batch must live
  // until Commit or Rollback.
  absl::Status AppendBatch(int64_t run, const v1::Batch& batch, int64_t now_ns);
  // The exit code or signal wins over what the relay found out. Returns the
  // number of runs; kept for runs that arrive later, too.
  absl::StatusOr<int> RecordExit(const std::string& job_id, int64_t pid,
                                 const ParentTold& told, int64_t now_ns);
  // The run's relay is gone without a word: it ended with its last batch. A
  // run that has an end keeps it.
  absl::Status MarkLost(const std::string& run_id, int64_t now_ns);
  // kFailedPrecondition while one of them runs.
  absl::StatusOr<int> DeleteRuns(const std::vector<std::string>& run_ids);
  // Keeps a comparison as it is; its id is new.
  absl::Status AddComparison(const v1::Comparison& comparison);
  absl::Status DeleteAllComparisons();

  // --- outside a group ---

  // Drops the oldest events until the quota is met. Returns how many.
  absl::StatusOr<int64_t> EnforceQuota();
  // Moves the log into the file and empties it; freed pages go back.
  absl::Status Checkpoint();
  // Everything is committed and the owner leaves: the next Open trusts it.
  void Close();

  const std::string& path() const { return options_.path; }

 private:
  Store(const StoreOptions& options, LockFile lock);
  absl::Status OpenDatabase(bool full_check, std::vector<std::string>* notes);
  absl::Status FindCodebook();
  struct Dropped {
    int64_t bytes = 0;
    int64_t events = 0;
  };
  absl::StatusOr<Dropped> DropOldestEvents(int64_t bytes_wanted);
  absl::Status ApplyParent(int64_t run, const ParentTold& told, int64_t now_ns);
  absl::Status AppendNames(int64_t run, const v1::Batch& batch);
  absl::Status AppendSteps(int64_t run, const v1::Batch& batch);
  absl::Status AppendDigests(int64_t run, const v1::Batch& batch);
  absl::Status AppendMemory(int64_t run, const v1::Batch& batch);
  absl::Status AppendMemoryStep(int64_t run, const v1::MemoryStep& step);
  absl::Status AppendMemoryRecords(int64_t run, const v1::Batch& batch);
  struct MomentKey {
    int64_t run, step, device;
    std::string_view moment;
  };
  absl::Status WriteMoment(const MomentKey& at, const v1::MemoryMoment& moment);
  absl::Status WriteHolders(
      const MomentKey& at,
      const google::protobuf::RepeatedPtrField<v1::MemoryHolder>& holders);
  absl::Status AppendEvents(int64_t run, const v1::Batch& batch);
  absl::Status AppendUpdate(int64_t run, const v1::Batch& batch);
  absl::Status WriteKernel(int64_t run, const v1::KernelCalibration& kernel);
  absl::Status AppendEnd(int64_t run, const v1::RunEnd& end, int64_t now_ns);
  absl::Status WriteSiteTable(int64_t run, const char* kind,
                              const v1::SiteTable& table);

  StoreOptions options_;
  LockFile lock_;
  std::unique_ptr<Database> db_;
  int64_t codebook_ = 0;
  bool damaged_ = false;
  // Newest table of each (run, kind) in this group, written once by Commit.
  std::map<std::pair<int64_t, const char*>, const v1::SiteTable*> tables_;
};

}  // namespace invact

#endif  // INVACT_DAEMON_STORE_STORE_H_
