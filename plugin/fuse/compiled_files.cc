#include "plugin/fuse/compiled_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "plugin/relay/private_dir.h"

namespace invact::fuse {

namespace {

constexpr char kMagic[8] = {'i', 'n', 'v', 'f', 'u', 's', 'e', '1'};
constexpr off_t kLargest = 16 << 20;

struct Header {
  char magic[8];
  uint64_t key_bytes, code_bytes, sum;  // of key and code
};

uint64_t Sum(const std::string& text) {
  uint64_t sum = 0xcbf29ce484222325;
  for (const char c : text) {
    sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return sum;
}

std::string FileName(const std::string& key) {
  char name[32];
  std::snprintf(name, sizeof(name), "%016llx.cubin",
                static_cast<unsigned long long>(Sum(key)));
  return name;
}

std::string ReadAll(int file) {
  struct stat info;
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_uid != geteuid() || info.st_size > kLargest) {
    return {};
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = read(file, text.data() + got, text.size() - got);
    if (n <= 0) return {};
    got += static_cast<size_t>(n);
  }
  return text;
}

bool WriteAll(int file, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = write(file, text.data() + done, text.size() - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

CompiledFiles::CompiledFiles(std::string folder) {
  std::string error;
  if (!folder.empty()) folder_ = OpenPrivateDir(folder, &error);
}

CompiledFiles::~CompiledFiles() {
  if (folder_ >= 0) close(folder_);
}

std::string CompiledFiles::Read(const std::string& key) const {
  if (folder_ < 0) return {};
  const int file = openat(folder_, FileName(key).c_str(),
                          O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return {};
  const std::string text = ReadAll(file);
  close(file);
  Header header;
  if (text.size() < sizeof(header)) return {};
  std::memcpy(&header, text.data(), sizeof(header));
  const std::string rest = text.substr(sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 ||
      header.key_bytes != key.size() || rest.size() < key.size() ||
      header.code_bytes != rest.size() - key.size() ||
      header.sum != Sum(rest) || rest.compare(0, key.size(), key) != 0) {
    return {};
  }
  return rest.substr(key.size());
}

void CompiledFiles::Write(const std::string& key,
                          const std::string& code) const {
  if (folder_ < 0) return;
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.key_bytes = key.size();
  header.code_bytes = code.size();
  header.sum = Sum(key + code);
  const std::string name = FileName(key);
  const std::string draft = name + "." + std::to_string(getpid());
  const int file =
      openat(folder_, draft.c_str(),
             O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return;
  const bool written = WriteAll(
      file,
      std::string(reinterpret_cast<const char*>(&header), sizeof(header)) +
          key + code);
  close(file);
  if (!written ||
      renameat(folder_, draft.c_str(), folder_, name.c_str()) != 0) {
    unlinkat(folder_, draft.c_str(), 0);
  }
}

}  // namespace invact::fuse
