#include "proto/spool_format.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace invact {

namespace {

constexpr char kMagic[8] = {'i', 'n', 'v', 'a', 'c', 't', 'S', 'P'};

// Eight tables: one step takes eight bytes.
constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0u);
    }
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < 8; ++k) {
      const uint32_t before = tables[k - 1][i];
      tables[k][i] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr auto kTables = MakeTables();

template <typename T>
void Put(T value, std::string* out) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    out->push_back(static_cast<char>(value >> (8 * i)));
  }
}

template <typename T>
T Get(std::string_view bytes, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<unsigned char>(bytes[at + i]))
             << (8 * i);
  }
  return value;
}

uint32_t Update(uint32_t crc, std::string_view bytes) {
  while (bytes.size() >= 8) {
    const uint64_t word = Get<uint64_t>(bytes, 0) ^ crc;
    crc = kTables[7][word & 0xff] ^ kTables[6][(word >> 8) & 0xff] ^
          kTables[5][(word >> 16) & 0xff] ^ kTables[4][(word >> 24) & 0xff] ^
          kTables[3][(word >> 32) & 0xff] ^ kTables[2][(word >> 40) & 0xff] ^
          kTables[1][(word >> 48) & 0xff] ^ kTables[0][(word >> 56) & 0xff];
    bytes.remove_prefix(8);
  }
  for (char byte : bytes) {
    crc = (crc >> 8) ^
          kTables[0][(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return crc;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  return Update(0xffffffffu, bytes) ^ 0xffffffffu;
}

std::string SegmentName(uint64_t first_seq) {
  char name[32];
  std::snprintf(name, sizeof(name), "%016llx%.*s",
                static_cast<unsigned long long>(first_seq),
                static_cast<int>(kSpoolSuffix.size()), kSpoolSuffix.data());
  return name;
}

bool ParseSegmentName(std::string_view name_untrusted, uint64_t* first_seq) {
  const std::string_view name = name_untrusted;
  if (name.size() != kSpoolRunIdBytes + kSpoolSuffix.size() ||
      !IsSpoolRunId(name.substr(0, kSpoolRunIdBytes)) ||
      name.substr(kSpoolRunIdBytes) != kSpoolSuffix) {
    return false;
  }
  *first_seq = 0;
  for (char c : name.substr(0, kSpoolRunIdBytes)) {
    *first_seq = *first_seq << 4 |
                 static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

bool IsSpoolRunId(std::string_view text_untrusted) {
  return text_untrusted.size() == kSpoolRunIdBytes &&
         text_untrusted.find_first_not_of("0123456789abcdef") ==
             std::string_view::npos;
}

std::string EncodeSegmentHeader(std::string_view run_id) {
  std::string header(kMagic, sizeof(kMagic));
  Put<uint32_t>(kSpoolVersion, &header);
  Put<uint32_t>(kSpoolHeaderBytes, &header);
  header.append(run_id);
  Put<uint32_t>(Crc32c(header), &header);
  return header;
}

void AppendFrame(uint64_t seq, std::string_view payload, std::string* out) {
  std::string rest;
  Put<uint32_t>(static_cast<uint32_t>(payload.size()), &rest);
  Put<uint64_t>(seq, &rest);
  const uint32_t crc = Update(Update(0xffffffffu, rest), payload) ^ 0xffffffffu;
  out->reserve(out->size() + kFrameHeaderBytes + payload.size());
  Put<uint32_t>(crc, out);
  out->append(rest);
  out->append(payload);
}

std::string_view Describe(SpoolStatus status) {
  switch (status) {
    case SpoolStatus::kOk:
      return "whole";
    case SpoolStatus::kEnd:
      return "at its end";
    case SpoolStatus::kTorn:
      return "torn: it ends inside a frame";
    case SpoolStatus::kCorrupt:
      return "corrupt: a checksum or a length is wrong";
    case SpoolStatus::kNewVersion:
      return "written by a newer invact; install that version to read it";
  }
  return "";
}

SpoolStatus ParseSegmentHeader(std::string_view bytes_untrusted,
                               SegmentHeader* out) {
  const std::string_view bytes = bytes_untrusted;
  const size_t known =
      bytes.size() < sizeof(kMagic) ? bytes.size() : sizeof(kMagic);
  if (std::memcmp(bytes.data(), kMagic, known) != 0) {
    return SpoolStatus::kCorrupt;
  }
  if (bytes.size() < kSpoolHeaderBytes) return SpoolStatus::kTorn;
  // Checked first: a flipped bit must not pass for a newer version.
  if (Crc32c(bytes.substr(0, 32)) != Get<uint32_t>(bytes, 32)) {
    return SpoolStatus::kCorrupt;
  }
  const auto version = Get<uint32_t>(bytes, 8);
  if (version > kSpoolVersion) return SpoolStatus::kNewVersion;
  const std::string_view run_id = bytes.substr(16, kSpoolRunIdBytes);
  if (version != kSpoolVersion ||
      Get<uint32_t>(bytes, 12) != kSpoolHeaderBytes || !IsSpoolRunId(run_id)) {
    return SpoolStatus::kCorrupt;
  }
  out->version = version;
  out->run_id = run_id;
  return SpoolStatus::kOk;
}

SpoolStatus ParseFrame(std::string_view bytes_untrusted, Frame* out) {
  const std::string_view bytes = bytes_untrusted;
  if (bytes.empty()) return SpoolStatus::kEnd;
  if (bytes.size() < kFrameHeaderBytes) return SpoolStatus::kTorn;
  const size_t payload = Get<uint32_t>(bytes, 4);
  if (payload == 0 || payload > kMaxFramePayload) return SpoolStatus::kCorrupt;
  const size_t whole = kFrameHeaderBytes + payload;
  if (bytes.size() < whole) return SpoolStatus::kTorn;
  if (Crc32c(bytes.substr(4, whole - 4)) != Get<uint32_t>(bytes, 0)) {
    return SpoolStatus::kCorrupt;
  }
  out->seq = Get<uint64_t>(bytes, 8);
  out->payload = bytes.substr(kFrameHeaderBytes, payload);
  out->bytes = whole;
  return SpoolStatus::kOk;
}

}  // namespace invact
