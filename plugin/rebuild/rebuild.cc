#include "plugin/rebuild/rebuild.h"

#include <mutex>
#include <utility>

#include "plugin/observe/tensor_facts.h"
#include "plugin/rebuild/decide.h"
#include "plugin/rebuild/mask_bits.h"
#include "plugin/rebuild/recorded_op.h"
#include "plugin/rebuild/value_table.h"

namespace invact {

namespace {

constinit thread_local Frame* t_frame = nullptr;

}  // namespace

Frame::Frame() noexcept : outer_(std::exchange(t_frame, this)) {}
Frame::~Frame() { t_frame = outer_; }
Frame* Frame::Current() noexcept { return t_frame; }

void Frame::Decide() {
  for (const auto& dropped : waiting_) dropped->DecideAgain();
  waiting_.clear();
}

Packed Pack(const at::Tensor& data, bool own_output) {
  Packed packed;
  if (!Describable(data) ||
      static_cast<int64_t>(data.storage().nbytes()) < MinBytes(data.device())) {
    return packed;
  }
  Trash trash;
  ValuePtr value;
  bool possible;
  {
    std::lock_guard lock(RebuildLock());
    value = RootValue(data, &trash);
    if (!value.defined()) return packed;
    possible =
        value->kept == 0 && (value->recipe != nullptr || value->twin.defined());
  }
  if (possible) {
    Recorder& recorder = Recorder::Get();
    packed.reason = recorder.SubstitutionAllowed(recorder.NextSite());
    possible = packed.reason == Reason::kNone;
  }
  std::lock_guard lock(RebuildLock());
  if (possible) packed.reason = JoinPlan(*value, &trash);
  if (possible && packed.reason == Reason::kNone) {
    packed.dropped = Dropped::Planned(data, *value);
    packed.planned = true;
    trash.values.push_back(std::move(value));
    return packed;
  }
  Keep(*value, &trash);
  if (own_output && t_frame != nullptr) {
    packed.dropped = Dropped::Held(data, *value);
    t_frame->Await(packed.dropped);
    trash.values.push_back(std::move(value));
  } else {
    packed.kept = std::move(value);
  }
  return packed;
}

bool CostsNothing(const at::Tensor& tensor) {
  if (!Describable(tensor)) return false;
  Trash trash;
  std::lock_guard lock(RebuildLock());
  const ValuePtr value = RootValue(tensor, &trash);
  if (!value.defined()) return false;
  trash.values.push_back(value);
  return value->kept > 0 || value->users > 0 || CanRebuild(*value);
}

ValuePtr KeepElsewhere(const at::Tensor& tensor) {
  if (!Rebuilding() || !Describable(tensor)) return {};
  Trash trash;
  std::lock_guard lock(RebuildLock());
  ValuePtr value = RootValue(tensor, &trash);
  if (value.defined()) Keep(*value, &trash);
  return value;
}

void LetGo(Value& kept) noexcept {
  std::lock_guard lock(RebuildLock());
  --kept.kept;
}

bool InstallRebuild(const std::string& lib_dir, bool cuda,
                    std::string* error) noexcept {
  try {
    LoadMaskBits(lib_dir, cuda);
    InstallRecordedOps(cuda);
    return true;
  } catch (const std::exception& failure) {
    *error = failure.what();
    return false;
  }
}

}  // namespace invact
