#include "daemon/report/units.h"

#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace invact {
namespace {

constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};

std::string FormatBytes(int64_t bytes, bool column) {
  double value = std::abs(static_cast<double>(bytes));
  size_t unit = 0;
  // 1023.96 KiB would be rounded to 1024.
  while (unit + 1 < std::size(kUnits) && value >= (unit == 0 ? 1024 : 1023.5)) {
    value /= 1024;
    ++unit;
  }
  const bool decimal =
      unit > 0 && value < 99.95 && (column || value != std::floor(value));
  return absl::StrFormat("%s%.*f %s", bytes < 0 ? "-" : "", decimal ? 1 : 0,
                         value, kUnits[unit]);
}

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

}  // namespace

std::string Bytes(int64_t bytes) { return FormatBytes(bytes, false); }
std::string BytesInColumn(int64_t bytes) { return FormatBytes(bytes, true); }

std::string Percent(double fraction) {
  const double percent = fraction * 100;
  const int decimals = std::abs(percent) < 9.95 ? 1 : 0;
  std::string text = absl::StrFormat("%.*f", decimals, percent);
  if (text == "0.0" || text == "-0.0") text = "0";
  return text + " %";
}

std::string Change(double fraction) {
  std::string text = Percent(fraction);
  return fraction > 0 && text != "0 %" ? "+" + text : text;
}

std::string Seconds(double seconds) {
  if (seconds < 0.9995e-3) return absl::StrFormat("%.0f us", seconds * 1e6);
  if (seconds < 0.09995) return absl::StrFormat("%.1f ms", seconds * 1e3);
  if (seconds < 0.9995) return absl::StrFormat("%.0f ms", seconds * 1e3);
  if (seconds < 99.5) return absl::StrFormat("%.2f s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  return absl::StrCat(whole / 60, " min ", whole % 60, " s");
}

std::string UtcTime(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", ToTime(time),
                          absl::UTCTimeZone());
}

std::string UtcText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", ToTime(time),
                          absl::UTCTimeZone());
}

std::string Count(int64_t n, const char* one, const char* many) {
  return absl::StrCat(n, " ", n == 1 ? one : many);
}

}  // namespace invact
