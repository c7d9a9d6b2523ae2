#include "plugin/events/event_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace invact {

namespace {

constexpr size_t kHead = sizeof(EventFileHeader);
constexpr int64_t kMostBytes = int64_t{1} << 46;  // 64 TiB

bool WriteAll(int file, const std::string& text, uint64_t at) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = pwrite(file, text.data() + done, text.size() - done,
                                 static_cast<off_t>(at + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    done += static_cast<size_t>(wrote);
  }
  return true;
}

template <typename T>
void AppendPod(std::string* text, T value) {
  text->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

EventFileWriter::~EventFileWriter() { Close({}); }

bool EventFileWriter::Open(const std::string& path, uint64_t most,
                           std::string* error) {
  const size_t bytes = kHead + most * sizeof(Record);
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  // Room is asked for now: a full disk met through a mapping is a SIGBUS.
  int failed = file_ < 0 ? errno : 0;
  if (failed == 0) {
    failed = posix_fallocate(file_, 0, static_cast<off_t>(bytes));
  }
  if (failed == 0) {
    void* map =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (map == MAP_FAILED) {
      failed = errno;
    } else {
      map_ = static_cast<char*>(map);
    }
  }
  if (failed != 0) {
    *error = path + ": " + std::strerror(failed);
    if (file_ >= 0) {
      close(file_);
      unlink(path.c_str());
    }
    file_ = -1;
    return false;
  }
  most_ = most;
  EventFileHeader head = {};
  std::memcpy(head.magic, kEventFileMagic, sizeof(head.magic));
  head.version = kEventFileVersion;
  head.record_bytes = sizeof(Record);
  std::memcpy(map_, &head, sizeof(head));
  open_.store(true);
  return true;
}

void EventFileWriter::Append(const Record& event) noexcept {
  appending_.fetch_add(1);
  if (open_.load()) {
    const uint64_t place = next_.fetch_add(1, std::memory_order_relaxed);
    if (place < most_) {
      std::memcpy(map_ + kHead + place * sizeof(Record), &event, sizeof(event));
    }
  }
  appending_.fetch_sub(1, std::memory_order_release);
}

void EventFileWriter::Close(const std::vector<std::string>& scopes) noexcept {
  if (!open_.exchange(false)) return;
  while (appending_.load() != 0) {
    __builtin_ia32_pause();  // a copy of 48 bytes
  }
  const uint64_t asked = next_.load();
  const uint64_t records = asked < most_ ? asked : most_;
  std::string names;
  for (size_t i = 0; i < scopes.size(); ++i) {
    const std::string name = scopes[i].substr(0, 65535);
    AppendPod(&names, static_cast<uint32_t>(i));
    AppendPod(&names, static_cast<uint16_t>(name.size()));
    names += name;
  }
  EventFileHeader head;
  std::memcpy(&head, map_, sizeof(head));
  head.records = records;
  head.dropped = asked - records;
  const uint64_t end = kHead + records * sizeof(Record);
  munmap(map_, kHead + most_ * sizeof(Record));
  map_ = nullptr;
  // A failure here costs the names: the records stand.
  if (ftruncate(file_, static_cast<off_t>(end)) == 0 &&
      WriteAll(file_, names, end)) {
    head.names_at = end;
    head.names_bytes = names.size();
  }
  (void)WriteAll(file_, std::string(reinterpret_cast<char*>(&head), kHead), 0);
  close(file_);
  file_ = -1;
}

namespace {

bool ParseNames(std::string_view names, EventFile* file, std::string* error) {
  while (!names.empty()) {
    uint32_t number;
    uint16_t size;
    constexpr size_t kFront = sizeof(number) + sizeof(size);
    if (names.size() < kFront) break;
    std::memcpy(&number, names.data(), sizeof(number));
    std::memcpy(&size, names.data() + sizeof(number), sizeof(size));
    names.remove_prefix(kFront);
    if (names.size() < size) break;
    file->scopes[number] = std::string(names.substr(0, size));
    names.remove_prefix(size);
    if (names.empty()) return true;
  }
  if (names.empty()) return true;
  *error = "the names of scopes are cut off";
  return false;
}

}  // namespace

bool ParseEventFile(std::string_view bytes_untrusted, EventFile* file,
                    std::string* error) {
  *file = {};
  EventFileHeader head;
  const std::string_view all = bytes_untrusted;
  if (all.size() < kHead ||
      std::memcmp(all.data(), kEventFileMagic, sizeof(kEventFileMagic)) != 0) {
    *error = "is no file of allocator events (it does not begin like one)";
    return false;
  }
  std::memcpy(&head, all.data(), sizeof(head));
  if (head.version != kEventFileVersion ||
      head.record_bytes != sizeof(Record)) {
    *error = "is of version " + std::to_string(head.version) + " with " +
             std::to_string(head.record_bytes) +
             " bytes a record; this invact reads version 1 with 48";
    return false;
  }
  const uint64_t room = (all.size() - kHead) / sizeof(Record);
  const uint64_t records = head.records == 0 ? room : head.records;
  if (records > room || head.names_at > all.size() ||
      head.names_bytes > all.size() - head.names_at) {
    *error = "is cut off: it tells of " + std::to_string(head.records) +
             " records and has room for " + std::to_string(room);
    return false;
  }
  for (uint64_t i = 0; i < records; ++i) {
    Record event;
    std::memcpy(&event, all.data() + kHead + i * sizeof(event), sizeof(event));
    if (KindOf(event) == EventKind::kNone) {
      if (head.records == 0) break;  // where the killed writer stood
      continue;                      // a thread died inside of Append
    }
    if (KindOf(event) >= EventKind::kCount) {
      *error = "record " + std::to_string(i) + " is of kind " +
               std::to_string(event.kind) + ", which this invact does not know";
      return false;
    }
    // Sums of as many as fit into a file stay far from overflowing.
    if (event.bytes < 0 || event.bytes > kMostBytes) {
      *error = "record " + std::to_string(i) + " has an impossible size";
      return false;
    }
    file->events.push_back(event);
  }
  file->dropped = head.dropped;
  file->complete = head.names_at != 0;
  return head.names_at == 0 ||
         ParseNames(all.substr(head.names_at, head.names_bytes), file, error);
}

bool ReadEventFile(const std::string& path, EventFile* file,
                   std::string* error) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    *error = path + ": " + std::strerror(errno);
    return false;
  }
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  if (ParseEventFile(bytes, file, error)) return true;
  *error = path + " " + *error;
  return false;
}

}  // namespace invact
