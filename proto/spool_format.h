// The format of a spool: what a relay leaves on disk before it sends it.
//
//   <spool folder>/<run id>/lock             flock()ed while a relay lives
//   <spool folder>/<run id>/<seq>.spool      segments; <seq>: 16 hex digits,
//                                            the first batch inside
//   <spool folder>/<run id>/relay.log        what the relay had to say
//
// The folders have mode 0700, the files 0600. Whoever gets the exclusive lock
// without waiting owns the folder: its relay is gone. A reader takes the
// segments in the order of their names. A segment is deleted when all of its
// batches were acknowledged, so a spool may begin with batches that the daemon
// has already: they are acknowledged again and stored once.
//
// A segment is a header and frames; all numbers are little endian.
//
//   header, 36 bytes                      frame, 16 bytes and the payload
//     0  8  magic "invactSP"                0  4  CRC-32C of all that follows
//     8  4  version, 1                      4  4  payload bytes, 1..2 MiB
//    12  4  header bytes, 36                8  8  seq of the batch, 0: a hello
//    16 16  run id, hex                    16  n  an encoded
//    32  4  CRC-32C of bytes 0..31               invact.v1.StreamRequest
//
// The first frame of each segment is the run's Hello, so that each segment can
// be replayed alone. Worked example: run 00000000000000a1, whose hello has 60
// bytes and whose batch 1 has 300 bytes:
//
//   0000  69 6e 76 61 63 74 53 50  01 00 00 00 24 00 00 00   invactSP....$...
//   0010  "00000000000000a1"
//   0020  c c c c                                            end of the header
//   0024  c c c c  3c 00 00 00  00 00 00 00 00 00 00 00      frame of the hello
//   0034  60 bytes
//   0070  c c c c  2c 01 00 00  01 00 00 00 00 00 00 00      frame of batch 1
//   0080  300 bytes
//   01ac  end of file
//
// A relay may be killed in the middle of a write and a disk may turn full:
// everything before the first frame that is not whole counts, nothing of that
// segment after it. At worst the batch under way is lost; it was never
// acknowledged. Files are not synced: a power cut ends the job, too.
#ifndef INVACT_PROTO_SPOOL_FORMAT_H_
#define INVACT_PROTO_SPOOL_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace invact {

inline constexpr uint32_t kSpoolVersion = 1;
inline constexpr size_t kSpoolHeaderBytes = 36;
inline constexpr size_t kFrameHeaderBytes = 16;
inline constexpr size_t kMaxFramePayload = size_t{2} << 20;
inline constexpr size_t kSpoolRunIdBytes = 16;
inline constexpr std::string_view kSpoolSuffix = ".spool";
inline constexpr std::string_view kSpoolLockName = "lock";
inline constexpr std::string_view kSpoolLogName = "relay.log";
// What both sides talk (Hello, Welcome).
inline constexpr int kSpoolProtocolMajor = 1;
inline constexpr int kSpoolProtocolMinor = 4;
// Since this minor a relay tells of every calibrated kernel.
inline constexpr int kMinorTellsKernels = 1;

uint32_t Crc32c(std::string_view bytes);

// "0000000000000001.spool"
std::string SegmentName(uint64_t first_seq);
// False for any other file name.
bool ParseSegmentName(std::string_view name_untrusted, uint64_t* first_seq);
// 16 lower-case hex digits: also the name of the run's folder.
bool IsSpoolRunId(std::string_view text_untrusted);

// run_id must satisfy IsSpoolRunId.
std::string EncodeSegmentHeader(std::string_view run_id);
void AppendFrame(uint64_t seq, std::string_view payload, std::string* out);

enum class SpoolStatus {
  kOk,
  kEnd,         // no byte is left
  kTorn,        // ends before what it announces
  kCorrupt,     // checksum, magic or a length is wrong
  kNewVersion,  // written by a newer relay
};
std::string_view Describe(SpoolStatus status);

struct SegmentHeader {
  uint32_t version = 0;
  std::string_view run_id;  // points into the input
};
SpoolStatus ParseSegmentHeader(std::string_view bytes_untrusted,
                               SegmentHeader* out);

struct Frame {
  uint64_t seq = 0;          // 0: a hello
  std::string_view payload;  // points into the input
  size_t bytes = 0;          // of the whole frame
};
// The frame at the start of `bytes_untrusted`. `out` is filled on kOk only.
// Allocates nothing, whatever length is claimed.
SpoolStatus ParseFrame(std::string_view bytes_untrusted, Frame* out);

}  // namespace invact

#endif  // INVACT_PROTO_SPOOL_FORMAT_H_
