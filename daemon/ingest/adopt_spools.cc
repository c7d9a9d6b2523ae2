#include "daemon/ingest/adopt_spools.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/ingest/replay_spool.h"
#include "daemon/log.h"
#include "proto/spool_format.h"

namespace invact {
namespace {

// A folder without a segment whose lock is free is a relay that starts, or the
// rest of one that ended: after so long it is the latter.
constexpr time_t kEmptyIsOldSeconds = 30;
constexpr size_t kMaxTold = 1000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  const int fd_;
};

// A folder of this user that nobody else can write to; -1 with errno, EPERM
// where it is somebody else's.
int OpenFolder(int parent, const std::string& name) {
  const int fd = openat(parent, name.c_str(),
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  struct stat info;
  if (fd >= 0 && (fstat(fd, &info) != 0 || info.st_uid != geteuid() ||
                  (info.st_mode & 022))) {
    close(fd);
    errno = EPERM;
    return -1;
  }
  return fd;
}

std::vector<std::string> Names(int dir) {
  std::vector<std::string> names;
  // fdopendir owns what it gets.
  const int own = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = own >= 0 ? fdopendir(own) : nullptr;
  if (stream == nullptr) {
    if (own >= 0) close(own);
    return names;
  }
  while (const dirent* entry = readdir(stream)) names.push_back(entry->d_name);
  closedir(stream);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> Segments(int dir) {
  std::vector<std::string> segments = Names(dir);
  segments.erase(std::remove_if(segments.begin(), segments.end(),
                                [](const std::string& name) {
                                  uint64_t first;
                                  return !ParseSegmentName(name, &first);
                                }),
                 segments.end());
  return segments;
}

// Removes the folder where nothing but the lock and the log is left in it.
void RemoveSpool(int parent, int dir, const std::string& run_id) {
  for (const std::string& name : Names(dir)) {
    if (name != "." && name != ".." && name != kSpoolLockName &&
        name != kSpoolLogName) {
      return;
    }
  }
  unlinkat(dir, std::string(kSpoolLogName).c_str(), 0);
  unlinkat(dir, std::string(kSpoolLockName).c_str(), 0);
  unlinkat(parent, run_id.c_str(), AT_REMOVEDIR);
}

bool IsOld(int dir) {
  struct stat info;
  return fstat(dir, &info) == 0 &&
         time(nullptr) - info.st_mtime > kEmptyIsOldSeconds;
}

}  // namespace

SpoolAdopter::SpoolAdopter(std::vector<std::string> folders, Writer* writer,
                           const LiveStreams* live,
                           std::function<bool()> stopping)
    : folders_(std::move(folders)),
      writer_(writer),
      live_(live),
      stopping_(std::move(stopping)) {}

void SpoolAdopter::Pass(absl::Time deadline) {
  for (const std::string& folder : folders_) {
    const Descriptor parent(OpenFolder(AT_FDCWD, folder));
    if (!parent.ok()) {
      if (errno != ENOENT) {
        Tell(absl::StrCat("spools in ", folder,
                          " are not looked at: it is no directory of this "
                          "user alone; run: chmod 700 ",
                          folder));
      }
      continue;
    }
    for (const std::string& name : Names(parent.get())) {
      if (stopping_() || absl::Now() > deadline) return;
      if (IsSpoolRunId(name)) Adopt(parent.get(), folder, name);
    }
  }
}

bool SpoolAdopter::HeldByRelay(const std::string& run_id) const {
  if (!IsSpoolRunId(run_id)) return false;
  for (const std::string& folder : folders_) {
    const std::string path =
        absl::StrCat(folder, "/", run_id, "/", std::string(kSpoolLockName));
    const Descriptor lock(
        open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    // A shared lock is free where no relay holds the exclusive one.
    if (lock.ok() && flock(lock.get(), LOCK_SH | LOCK_NB) != 0 &&
        errno == EWOULDBLOCK) {
      return true;
    }
  }
  return false;
}

void SpoolAdopter::Adopt(int parent, const std::string& folder,
                         const std::string& run_id) {
  if (live_->IsOpen(run_id)) return;
  const Descriptor dir(OpenFolder(parent, run_id));
  if (!dir.ok()) {
    Tell(absl::StrCat("spool ", folder, "/", run_id,
                      " is not taken: it is no directory of this user alone"));
    return;
  }
  const bool empty = Segments(dir.get()).empty();
  if (empty && !IsOld(dir.get())) return;
  const Descriptor lock(openat(dir.get(), std::string(kSpoolLockName).c_str(),
                               O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                               0600));
  struct stat info;
  if (!lock.ok() || flock(lock.get(), LOCK_EX | LOCK_NB) != 0 ||
      fstat(lock.get(), &info) != 0 || info.st_nlink == 0) {
    return;  // a relay's, or just removed by one
  }
  const std::vector<std::string> segments = Segments(dir.get());
  if (!segments.empty()) {
    ReplayResult result =
        ReplaySpool(dir.get(), run_id, segments, writer_, stopping_);
    for (const std::string& note : result.notes) Tell(note);
    if (result.left_over) return;
    if (result.opened) {
      const absl::Status status = writer_->Run([&run_id](Store& store) {
        return store.MarkLost(run_id, absl::ToUnixNanos(absl::Now()));
      });
      if (!status.ok()) return;  // its lease ends, too
    }
    ++adopted_;
    LogInfo(absl::StrCat("adopted the spool of run ", run_id, ": ",
                         result.batches, " batches of ", segments.size(),
                         " segments, ", result.set_aside, " set aside"));
  }
  RemoveSpool(parent, dir.get(), run_id);
}

void SpoolAdopter::Tell(const std::string& what) {
  if (told_.size() < kMaxTold && told_.insert(what).second) LogError(what);
}

}  // namespace invact
