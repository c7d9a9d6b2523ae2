// Why a loss or a gradient of a step has no number to compare. Plain C++ with
// no dependency: the guest, the relay and the daemon read it. The wire and the
// database carry the names, never the numbers, so the order may change.
#ifndef INVACT_PROTO_DIGEST_CODES_H_
#define INVACT_PROTO_DIGEST_CODES_H_

#include <cstdint>
#include <iterator>
#include <string_view>

#include "proto/codes.h"

namespace invact {

// name, C++ name, for people: "NAME has no digest: ..."
#define INVACT_UNSEENS(X)                                                     \
  X("SPARSE", kSparse, "its gradient is sparse")                              \
  X("SUBCLASS", kSubclass,                                                    \
    "its gradient is a tensor subclass (DTensor and others, as with FSDP)")   \
  X("NOT_KEPT", kNotKept,                                                     \
    "its gradient was gone when the backward ended (an optimizer inside the " \
    "backward, or a gradient kept elsewhere)")                                \
  X("DTYPE", kDtype, "its type is not known here")                            \
  X("DEVICE", kDevice, "it is neither on the CPU nor on a CUDA device")       \
  X("DISPATCH_MODE", kDispatchMode,                                           \
    "a TorchDispatchMode or a functorch transform was active")                \
  X("GRAPH_CAPTURE", kGraphCapture, "a CUDA graph was being captured")        \
  X("TOO_MANY", kTooMany, "the job has more parameters than are followed")    \
  X("ROOT_UNKNOWN", kRootUnknown, "the tensor at the root was not seen")      \
  X("FAILED", kFailed, "torch refused to read it")

#define INVACT_UNSEEN_ENUMERATOR(text, name, why) name,
#define INVACT_UNSEEN_TEXT(text, name, why) text,
#define INVACT_UNSEEN_WHY(text, name, why) why,

// kNone: seen.
enum class NoDigest : uint8_t {
  kNone,
  INVACT_UNSEENS(INVACT_UNSEEN_ENUMERATOR)
};

namespace codes {
inline constexpr std::string_view kUnseenNames[] = {
    "", INVACT_UNSEENS(INVACT_UNSEEN_TEXT)};
inline constexpr std::string_view kUnseenWhys[] = {
    "", INVACT_UNSEENS(INVACT_UNSEEN_WHY)};
}  // namespace codes

#undef INVACT_UNSEEN_ENUMERATOR
#undef INVACT_UNSEEN_TEXT
#undef INVACT_UNSEEN_WHY

constexpr std::string_view Name(NoDigest v) {
  return NameOf(v, codes::kUnseenNames);
}

// For people; the name itself where this version does not know it.
constexpr std::string_view WhyUnseen(std::string_view name) {
  for (size_t i = 1; i < std::size(codes::kUnseenNames); ++i) {
    if (codes::kUnseenNames[i] == name) return codes::kUnseenWhys[i];
  }
  return name;
}

}  // namespace invact

#endif  // INVACT_PROTO_DIGEST_CODES_H_
