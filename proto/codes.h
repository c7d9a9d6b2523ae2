// The one table of actions, categories, reason codes and event kinds. Plain
// C++ with no dependency: the guest, the relay and the daemon all read it.
// Rows on the wire and in the database carry the names, never the numbers, so
// the order may change between versions.
#ifndef INVACT_PROTO_CODES_H_
#define INVACT_PROTO_CODES_H_

#include <cstdint>
#include <string_view>

namespace invact {

// name, C++ name, bit-exact gradients
#define INVACT_ACTIONS(X)      \
  X("keep", kKeep, true)       \
  X("invert", kInvert, false)  \
  X("rebuild", kRebuild, true) \
  X("bits", kBits, true)       \
  X("checkpoint", kCheckpoint, true)

// name, C++ name
#define INVACT_CATEGORIES(X)   \
  X("activation", kActivation) \
  X("input", kInput)           \
  X("weight_copy", kWeightCopy)

// name, C++ name, what the user can do about it
#define INVACT_REASONS(X)                                                      \
  X("OUTPUT_NOT_SAVED", kOutputNotSaved,                                       \
    "nothing else keeps the activation's output (a frozen or LoRA layer, an "  \
    "autocast copy), so holding it instead of the input gains nothing")        \
  X("INPUT_KEPT_ELSEWHERE", kInputKeptElsewhere,                               \
    "the input's storage lives anyway (another op saved it, or it is a chunk " \
    "of a larger tensor); split the projection in two to gain here")           \
  X("DTYPE_UNSUPPORTED", kDtypeUnsupported,                                    \
    "only float32, bfloat16 and float16 are served")                           \
  X("LAYOUT_UNSUPPORTED", kLayoutUnsupported,                                  \
    "the tensor is not dense in memory (a slice, an expanded or sparse "       \
    "tensor); call .contiguous() before the activation to gain here")          \
  X("IN_CHECKPOINT_REGION", kInCheckpointRegion,                               \
    "the job already recomputes this region by checkpointing")                 \
  X("COMPILED_GRAPH", kCompiledGraph,                                          \
    "torch.compile owns this region and recomputes cheap ops itself")          \
  X("DISPATCH_MODE", kDispatchMode,                                            \
    "a TorchDispatchMode or a functorch transform was active")                 \
  X("TENSOR_SUBCLASS", kTensorSubclass,                                        \
    "tensor subclasses (DTensor and others) pass through untouched")           \
  X("DOUBLE_BACKWARD", kDoubleBackward,                                        \
    "a backward of a backward was asked for")                                  \
  X("NO_GRAD", kNoGrad, "no gradient is recorded here")                        \
  X("USER_HOOKS", kUserHooks, "the job's own saved-tensor hooks decide here")  \
  X("WRITTEN_IN_PLACE", kWrittenInPlace,                                       \
    "the job writes into the activation's output in place")                    \
  X("CALIBRATION_FAILED", kCalibrationFailed,                                  \
    "the kernel did not meet its stated error bound on this machine")          \
  X("CALIBRATION_PENDING", kCalibrationPending,                                \
    "the first calls came inside a graph capture or a backward, where no "     \
    "kernel can be checked; a warm-up step before lets it be")                 \
  X("NOT_INVERTIBLE", kNotInvertible,                                          \
    "with these arguments the activation's output does not tell its slope")    \
  X("IN_PLACE_OP", kInPlaceOp,                                                 \
    "the activation overwrites its input, so PyTorch keeps a copy of it; "     \
    "leave out inplace=True (or the trailing _) to gain here")                 \
  X("KERNEL_MISSING", kKernelMissing,                                          \
    "no kernel for this device; run: invact doctor")                           \
  X("USER_EXCLUDED", kUserExcluded, "named in INVACT_EXCLUDE")                 \
  X("SIDE_EFFECTS", kSideEffects,                                              \
    "a call of this block does more than give its result (it writes buffers "  \
    "or attributes, has hooks, or takes a cache or list), so a second one "    \
    "would not be the same; for a cache pass use_cache=False")                 \
  X("NO_CHEAPER_BASE", kNoCheaperBase,                                         \
    "what it could be rebuilt from would have to be held for it and is no "    \
    "smaller")                                                                 \
  X("REBUILD_TOO_SLOW", kRebuildTooSlow,                                       \
    "it could be rebuilt, but only by reading and writing more than four "     \
    "times its bytes")                                                         \
  X("GRAPH_CAPTURE", kGraphCapture,                                            \
    "a CUDA graph is being captured, where the state of the random generator " \
    "can't be read for a second forward")

// name, C++ name
#define INVACT_EVENTS(X)                    \
  X("save", kSave)                          \
  X("drop", kDrop)                          \
  X("step_begin", kStepBegin)               \
  X("backward_begin", kBackwardBegin)       \
  X("step_end", kStepEnd)                   \
  X("substitute", kSubstitute)              \
  X("materialise", kMaterialise)            \
  X("alloc", kAlloc)                        \
  X("free", kFree)                          \
  X("segment_alloc", kSegmentAlloc)         \
  X("segment_free", kSegmentFree)           \
  X("segment_map", kSegmentMap)             \
  X("segment_unmap", kSegmentUnmap)         \
  X("oom", kOom)                            \
  X("gap", kGap)                            \
  X("free_completed", kFreeCompleted)       \
  X("baseline_begin", kBaselineBegin)       \
  X("baseline_segment", kBaselineSegment)   \
  X("baseline_block", kBaselineBlock)       \
  X("baseline_awaiting", kBaselineAwaiting) \
  X("baseline_end", kBaselineEnd)           \
  X("label", kLabel)                        \
  X("forward_begin", kForwardBegin)         \
  X("optimizer_begin", kOptimizerBegin)     \
  X("optimizer_end", kOptimizerEnd)         \
  X("allocator_stats", kAllocatorStats)     \
  X("cupti_alloc", kCuptiAlloc)             \
  X("cupti_free", kCuptiFree)               \
  X("cupti_pool", kCuptiPool)               \
  X("cupti_lost", kCuptiLost)               \
  X("cupti_gap_begin", kCuptiGapBegin)      \
  X("cupti_gap_end", kCuptiGapEnd)          \
  X("device_used", kDeviceUsed)             \
  X("device_foreign", kDeviceForeign)       \
  X("level", kLevel)                        \
  X("levels", kLevels)

// What a block of device memory is for. name, C++ name
#define INVACT_MEMORY_CATEGORIES(X)     \
  X("unknown", kUnknown)                \
  X("parameter", kParameter)            \
  X("gradient", kGradient)              \
  X("optimizer_state", kOptimizerState) \
  X("activation", kActivation)          \
  X("input", kInput)                    \
  X("weight_copy", kWeightCopy)         \
  X("temporary", kTemporary)            \
  X("other", kOther)

// What the job does while its memory changes. name, C++ name
#define INVACT_MEMORY_PHASES(X) \
  X("between", kBetween)        \
  X("forward", kForward)        \
  X("backward", kBackward)      \
  X("optimizer", kOptimizer)

// name, C++ name
#define INVACT_SOURCES(X) \
  X("torch", kTorch)      \
  X("cupti", kCupti)      \
  X("device", kDevice)

#define INVACT_ENUMERATOR(text, name, ...) name,
#define INVACT_TEXT(text, ...) text,

enum class Action : uint8_t { INVACT_ACTIONS(INVACT_ENUMERATOR) kCount };
enum class Category : uint8_t { INVACT_CATEGORIES(INVACT_ENUMERATOR) kCount };
// kNone: not declined.
enum class Reason : uint8_t { kNone, INVACT_REASONS(INVACT_ENUMERATOR) kCount };
enum class EventKind : uint8_t {
  kNone,
  INVACT_EVENTS(INVACT_ENUMERATOR) kCount
};
enum class EventSource : uint8_t { INVACT_SOURCES(INVACT_ENUMERATOR) kCount };
enum class MemoryCategory : uint8_t {
  INVACT_MEMORY_CATEGORIES(INVACT_ENUMERATOR) kCount
};
enum class MemoryPhase : uint8_t {
  INVACT_MEMORY_PHASES(INVACT_ENUMERATOR) kCount
};

namespace codes {
inline constexpr std::string_view kActionNames[] = {
    INVACT_ACTIONS(INVACT_TEXT)};
inline constexpr std::string_view kCategoryNames[] = {
    INVACT_CATEGORIES(INVACT_TEXT)};
inline constexpr std::string_view kReasonNames[] = {
    "", INVACT_REASONS(INVACT_TEXT)};
#define INVACT_HINT(text, name, hint) hint,
inline constexpr std::string_view kReasonHints[] = {
    "", INVACT_REASONS(INVACT_HINT)};
#undef INVACT_HINT
inline constexpr std::string_view kEventNames[] = {"",
                                                   INVACT_EVENTS(INVACT_TEXT)};
inline constexpr std::string_view kSourceNames[] = {
    INVACT_SOURCES(INVACT_TEXT)};
inline constexpr std::string_view kMemoryCategoryNames[] = {
    INVACT_MEMORY_CATEGORIES(INVACT_TEXT)};
inline constexpr std::string_view kMemoryPhaseNames[] = {
    INVACT_MEMORY_PHASES(INVACT_TEXT)};
}  // namespace codes

#undef INVACT_ENUMERATOR
#undef INVACT_TEXT

// A number outside the table (a newer or broken writer) gives "".
template <typename Enum, size_t N>
constexpr std::string_view NameOf(Enum value,
                                  const std::string_view (&names)[N]) {
  const auto index = static_cast<size_t>(value);
  return index < N ? names[index] : std::string_view();
}
constexpr std::string_view Name(Action v) {
  return NameOf(v, codes::kActionNames);
}
constexpr std::string_view Name(Category v) {
  return NameOf(v, codes::kCategoryNames);
}
constexpr std::string_view Name(Reason v) {
  return NameOf(v, codes::kReasonNames);
}
constexpr std::string_view Hint(Reason v) {
  return NameOf(v, codes::kReasonHints);
}
constexpr std::string_view Name(EventKind v) {
  return NameOf(v, codes::kEventNames);
}
constexpr std::string_view Name(EventSource v) {
  return NameOf(v, codes::kSourceNames);
}
constexpr std::string_view Name(MemoryCategory v) {
  return NameOf(v, codes::kMemoryCategoryNames);
}
constexpr std::string_view Name(MemoryPhase v) {
  return NameOf(v, codes::kMemoryPhaseNames);
}

}  // namespace invact

#endif  // INVACT_PROTO_CODES_H_
