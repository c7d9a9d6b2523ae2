#include "plugin/digest/digests.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <chrono>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "plugin/digest/leaves.h"
#include "plugin/digest/numbers.h"
#include "plugin/digest/roots.h"
#include "plugin/guard.h"
#include "plugin/log.h"
#include "plugin/observe/recorder.h"
#include "plugin/ring/writer.h"

namespace invact {

namespace {

// Where nobody reads the ring any more: beyond this (24 MiB) steps are left
// out, which the daemon sees.
constexpr size_t kMostWaiting = size_t{1} << 20;

constexpr auto kLastWait = std::chrono::seconds(2);

struct Digests {
  std::mutex mutex;
  Parameters parameters;
  std::deque<StepNumbers> steps;       // whose devices are not done
  std::vector<DigestRecord> to_write;  // done; the ring had no room
  // Memory of the last steps, and where torch failed: a device may write to
  // it, or torch may be gone.
  std::deque<StepNumbers> kept;
};
Digests& TheDigests() {
  static auto* digests = new Digests;  // what devices write to stays
  return *digests;
}

// Writes what is there. False: more is to come.
bool Write(Digests* digests, bool ending) {
  SharedRun* shared = Recorder::Get().shared();
  while (!digests->steps.empty() && digests->steps.front().Ready()) {
    if (digests->to_write.size() < kMostWaiting) {
      digests->steps.front().AppendTo(&digests->to_write);
    }
    if (ending) digests->kept.push_back(std::move(digests->steps.front()));
    digests->steps.pop_front();
  }
  std::vector<DigestRecord>& records = digests->to_write;
  const size_t written = PushDigests(shared, records.data(), records.size());
  records.erase(records.begin(), records.begin() + written);
  return digests->steps.empty() && records.empty();
}

void DigestLosses(StepNumbers* numbers) {
  for (const ScalarRoot& root : TakeRoots()) {
    if (root.tensor.defined()) {
      numbers->AddLoss(root.place, root.tensor);
    } else {
      numbers->AddUnseen(DigestKind::kLoss, root.place, NoDigest::kRootUnknown);
    }
  }
}

void DigestGradients(Digests* digests, StepNumbers* numbers) {
  for (const Leaf& leaf : TakeLeaves()) {
    const uint32_t number = digests->parameters.NumberOf(leaf);
    const at::Tensor& gradient = leaf.tensor.grad();
    if (number == kNoSite) {
      numbers->AddUnseen(DigestKind::kGradient, number, NoDigest::kTooMany);
    } else if (!gradient.defined()) {
      numbers->AddUnseen(DigestKind::kGradient, number, NoDigest::kNotKept);
    } else {
      numbers->AddGradient(number, gradient);
    }
  }
}

}  // namespace

bool InstallDigests(bool python, std::string* error) noexcept {
  if (!WatchRoots(python, error) || !WatchLeaves(error)) return false;
  g_digesting.store(true);
  return true;
}

void DigestRoots(const torch::autograd::edge_list& edges,
                 const torch::autograd::variable_list& gradients) noexcept {
  try {
    NoteRoots(edges, gradients);
  } catch (const std::exception& error) {
    SayTrouble("digest-roots", error.what());
  }
}

void DigestStep(int64_t step) noexcept {
  if (step == Recorder::kStepGoesOn) return;
  if (step < 0 || g_guest_mode.load() != GuestMode::kRunning) {
    ForgetRoots();
    ForgetAccumulations();
    return;
  }
  Digests& digests = TheDigests();
  std::lock_guard lock(digests.mutex);
  StepNumbers numbers(step);
  try {
    const OwnWork own;
    const at::AutoDispatchBelowADInplaceOrView below;
    const c10::impl::ExcludeDispatchKeyGuard plain(
        c10::autocast_dispatch_keyset);
    DigestLosses(&numbers);
    DigestGradients(&digests, &numbers);
    numbers.Close();
    digests.steps.push_back(std::move(numbers));
    Write(&digests, false);
  } catch (const std::exception& error) {
    digests.kept.push_back(std::move(numbers));
    SayTrouble("digest", std::string("no digests of a step (") + error.what() +
                             "); it is told as lost");
  }
}

void FinishDigests() noexcept {
  if (!Digesting() || g_guest_mode.load() != GuestMode::kRunning) return;
  Digests& digests = TheDigests();
  const auto deadline = std::chrono::steady_clock::now() + kLastWait;
  // A thread that is in a step now may never leave it.
  std::unique_lock lock(digests.mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;
  while (!Write(&digests, true) &&
         std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace invact
