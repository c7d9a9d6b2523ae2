// A file of allocator events (docs/memory_events.md has the format): written by
// the job through a mapping of fixed size, so that what was written outlives a
// killed process, and read back by replay.
#ifndef INVACT_PLUGIN_EVENTS_EVENT_FILE_H_
#define INVACT_PLUGIN_EVENTS_EVENT_FILE_H_

#include <atomic>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/events/event.h"

namespace invact {

struct EventFileHeader {
  char magic[8];  // kEventFileMagic
  uint32_t version;
  uint32_t record_bytes;
  uint64_t records;  // 0: the writer was killed; then up to the first empty one
  uint64_t dropped;  // events for which there was no room
  uint64_t names_at;  // offset of the names of scopes, 0: none
  uint64_t names_bytes;
  char reserved[16];
};
static_assert(sizeof(EventFileHeader) == 64);

inline constexpr char kEventFileMagic[8] = {'i', 'n', 'v', 'm',
                                            'e', 'm', 'v', '\n'};
inline constexpr uint32_t kEventFileVersion = 1;

// Owner: the tracker, for the process's life. Threads: Append from any, in any
// number (each takes a place of its own; the order within a device is that of
// the device's lock); Open and Close once. Append never blocks but for the page
// of the file, and counts what finds no room.
class EventFileWriter {
 public:
  EventFileWriter() = default;
  ~EventFileWriter();
  EventFileWriter(const EventFileWriter&) = delete;
  EventFileWriter& operator=(const EventFileWriter&) = delete;

  // Makes the file, which must not exist, with room for `most` records. False
  // with the reason.
  bool Open(const std::string& path, uint64_t most, std::string* error);
  void Append(const Record& event) noexcept;
  // Cuts the file to what was written. `scopes`: names by number. Appends that
  // begin after it are dropped.
  void Close(const std::vector<std::string>& scopes) noexcept;

 private:
  int file_ = -1;
  char* map_ = nullptr;
  uint64_t most_ = 0;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> appending_{0};
  std::atomic<bool> open_{false};
};

struct EventFile {
  std::vector<Record> events;
  std::map<uint32_t, std::string> scopes;
  uint64_t dropped = 0;
  bool complete = false;  // the writer closed it
};

// False with what is wrong: every length and code of `bytes_untrusted` is
// checked.
bool ParseEventFile(std::string_view bytes_untrusted, EventFile* file,
                    std::string* error);
bool ReadEventFile(const std::string& path, EventFile* file,
                   std::string* error);

}  // namespace invact

#endif  // INVACT_PLUGIN_EVENTS_EVENT_FILE_H_
