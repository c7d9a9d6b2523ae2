// Everything that the plugin knows of the run, behind one lock: the ledger,
// the call sites, the step under way. The hooks, the substitutions and the
// scopes call it; it writes the memory shared with the relay.
//
// Owner: itself, one per process, never destroyed (hooks of the job's last
// graph may be destroyed after every static object). Threads: any; one mutex,
// never held while torch, Python or another lock is called or a tensor is
// released. A forked child never enters (plugin/guard.h).
#ifndef INVACT_PLUGIN_OBSERVE_RECORDER_H_
#define INVACT_PLUGIN_OBSERVE_RECORDER_H_

#include <c10/core/ScalarType.h>
#include <c10/core/Storage.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/brief_lock.h"
#include "plugin/config.h"
#include "plugin/guard.h"
#include "plugin/ledger/ledger.h"
#include "plugin/ledger/ledger_log.h"
#include "plugin/observe/device_state.h"
#include "plugin/observe/kernel_finding.h"
#include "plugin/observe/peak_note.h"
#include "plugin/observe/sites.h"
#include "plugin/observe/step_tracker.h"
#include "plugin/ring/ring_layout.h"

namespace invact {

// A place in the model as the calling thread stands now.
struct SiteKey {
  uint32_t scope;
  uint32_t ordinal;
};

// What is saved, as torch describes it. No reference is kept.
struct SavedFacts {
  const void* storage;  // StorageImpl
  const void* data;     // address of the bytes, for the events
  int64_t bytes;        // of the whole storage
  c10::ScalarType dtype;
  Category category;
  int device;  // -1: CPU
};

// One save, to be given back when the node releases it.
struct SaveTicket {
  StorageEntry* entry = nullptr;  // nullptr: not counted
  uint32_t site = kNoSite;
  Claim claim = Claim::kBoth;
  uint64_t id = 0;  // for the ledger log
};

// One substitution: x is asked for but not kept, y is kept in its place.
// Its owner keeps it at one address from Substitute to Drop.
struct SubstitutionTicket {
  SaveTicket x;
  SaveTicket y;
  int64_t side_bytes = 0;
  uint64_t side_id = 0;
  uint32_t site = kNoSite;
  size_t place = 0;  // among the live ones
};

// Rebuilt for several saved tensors of which some are still to be read.
struct RebuiltStorage {
  c10::Storage storage;
  uint32_t site;
};

class Recorder {
 public:
  static Recorder& Get() noexcept;

  // Before anything is saved, once.
  void Configure(const Config& config, std::string lib_dir,
                 std::string torch_version, bool python) noexcept;
  const Config& config() const { return config_; }

  // Where the next save of the calling thread belongs.
  SiteKey NextSite() noexcept;

  // A node keeps a tensor the way PyTorch does. `reason`: why a substitution
  // that could have been made here was not.
  SaveTicket Save(const SavedFacts& tensor, Reason reason) noexcept {
    return SaveAs(tensor, reason, Claim::kBoth, Action::kKeep);
  }
  // The same where only one of asking and keeping is the case.
  SaveTicket SaveAs(const SavedFacts& tensor, Reason reason, Claim claim,
                    Action action) noexcept;
  void Drop(const SaveTicket& ticket) noexcept;
  // Keeps a storage for a site whose save was entered, in place of what that
  // asked for.
  SaveTicket Hold(const SavedFacts& tensor, uint32_t site) noexcept;
  // What was entered as kBoth is kept no more.
  void AskOnly(SaveTicket* ticket, Action action) noexcept;
  // A substitution was refused and nothing is counted here: the job's own
  // hooks keep the tensor, or it does not count. Enters the reason.
  void NoteDecline(c10::ScalarType dtype, Reason reason) noexcept;

  // Whether the site may be substituted; its reason when it may not.
  Reason SubstitutionAllowed(const SiteKey& site) noexcept;
  void Substitute(Action action, const SavedFacts& x, const SavedFacts& y,
                  int64_t side_bytes, SubstitutionTicket* ticket) noexcept;
  void DropSubstitution(SubstitutionTicket* ticket) noexcept;
  // The job writes into y: a private copy of it is kept from now on.
  // The site is left alone from the next step on.
  void Materialise(SubstitutionTicket* ticket, const SavedFacts& copy) noexcept;

  void DeclineFromNowOn(uint32_t site, Reason reason) noexcept;
  Reason DeclinedAt(uint32_t site) noexcept;

  // What a calibration found out; replaces what was said of the same op, dtype
  // and device before. Also before the first save: then it waits for the run.
  void NoteKernel(const KernelFinding& finding) noexcept;

  // A saved tensor of this site is being read. Resolves the site's op on the
  // first call inside a backward.
  void Unpacked(uint32_t site) noexcept;

  // An outermost backward begins, ends on this thread. Backwards of several
  // threads may overlap: the step ends with the last of them.
  void EnterBackward() noexcept;
  // The number of the step that this completed, or why there is none.
  static constexpr int64_t kNoStep = -1;
  static constexpr int64_t kStepGoesOn = -2;  // another thread's is under way
  int64_t LeaveBackward(bool complete) noexcept;

  uint32_t InternScope(std::string_view name, bool block) noexcept;
  void RenewScope(uint32_t scope) noexcept;
  void OutermostCall() noexcept;
  void BlockCall(uint32_t scope, int64_t input_bytes, int64_t ns) noexcept;

  // An exception leaves a module's call, or the interpreter is ending: a step
  // that is never completed will be shown as it is now.
  void CallFailed() noexcept;

  // Torch told of an out-of-memory.
  void OutOfMemory(int64_t requested_bytes) noexcept;

  // Offset of a text in the shared arena; 0: no room, or no run yet.
  uint32_t Text(std::string_view text) noexcept;
  // nullptr before the first save.
  SharedRun* shared() const noexcept { return shared_; }

  // The process is leaving by exit(status). Ends the run and says so.
  void Finish(int status) noexcept;

  // baseline, held, side, eliminated of the last complete step, its index,
  // live baseline, live held, storages alive. For tests and benchmarks.
  void TotalsForTest(int64_t out[8]) noexcept;

 private:
  Recorder() = default;
  bool Start() noexcept;  // first save: shared memory, relay, first line
  bool Running() noexcept {
    return g_guest_mode.load(std::memory_order_acquire) ==
               GuestMode::kRunning ||
           Start();
  }
  SiteKey TakeSite() noexcept;  // and consumes it
  void BeginStep() noexcept;
  void ResumeStepLocked(int64_t now_ns);
  void BeginBackward() noexcept;
  // What is there at the instant though no saved tensor keeps it: what the job
  // still has, and `rebuilt` in earlier backwards. To be dropped behind it.
  std::vector<SaveTicket> HoldWhatIsThereLocked(
      const std::vector<RebuiltStorage>& rebuilt, int64_t now_ns);
  int64_t EndBackward(bool complete) noexcept;
  void BeginStepLocked(int64_t now_ns, const AllocatorBytes& before);
  void FillTable(SiteTable* table, const StepTotalsPod& totals);
  void KeepTable(const StepTotalsPod& totals);
  void KeepUnfinishedLocked();
  void ShowUnfinishedLocked();
  void NotePeakLocked(int64_t peak_allocated);
  void PublishLast(const StepTotalsPod& totals);
  // What the step under way saved so far, for a reader that finds the process
  // dead. Rows are already in place.
  void MirrorLive() {
    StepTotalsPod& live = shared_->live.totals;
    live.baseline_bytes = ledger_->baseline_bytes();
    live.held_bytes = ledger_->held_bytes();
    live.side_bytes = ledger_->side_bytes();
  }
  void NoteOp(uint32_t site);
  // The device's name and the trouble said so far, for the report. Not under
  // the lock: the driver is asked.
  void PublishNotes() noexcept;
  void PublishKernelLocked(uint32_t number);
  void PublishKernelsLocked();
  void JudgeSubstitutions();
  std::vector<std::string> ScopeNames();
  void SayUnmatchedExcludes() noexcept;
  uint32_t TouchLocked(const SavedFacts& tensor, const SiteKey& key,
                       Action action, Reason reason);
  SaveTicket ClaimLocked(const SavedFacts& tensor, uint32_t site, Claim claim,
                         int64_t now_ns);
  void UnclaimLocked(const SaveTicket& ticket, Claim claim);
  void ForgetTouchedLocked();

  BriefLock mutex_;
  std::mutex start_mutex_;
  Config config_;
  std::string lib_dir_, torch_version_;
  bool python_ = false;

  SharedRun* shared_ = nullptr;
  Sites sites_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<LedgerLog> log_;
  StepTracker steps_;
  AllocatorBytes outermost_;  // when the outermost call began
  int64_t outermost_begin_ns_ = 0;
  std::vector<uint32_t> touched_;
  std::vector<SubstitutionTicket*> substitutions_;
  std::vector<KernelFinding> findings_;  // at most kMaxKernels
  // Of shared_->last: the table of step kept_step_, as it was at the instant or
  // when its forward failed.
  std::atomic<bool> device_published_{false};
  uint32_t instant_slot_ = 0;
  int64_t kept_step_ = -1;
  int64_t kept_baseline_ = 0;
  PeakNote peak_;
  int64_t max_baseline_ = -1;
  uint64_t next_id_ = 1;
  std::atomic<int> backwards_{0};  // outermost ones under way
  std::atomic<bool> failed_backward_{false};
  std::atomic<bool> finished_{false};
};

}  // namespace invact

#endif  // INVACT_PLUGIN_OBSERVE_RECORDER_H_
