// Numbers as people read them, always with their unit.
#ifndef INVACT_DAEMON_REPORT_UNITS_H_
#define INVACT_DAEMON_REPORT_UNITS_H_

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>

namespace invact {

// "0 B", "512 MiB", "3.1 GiB", "-12.5 KiB": one decimal below 100 unless it is
// a whole number.
std::string Bytes(int64_t bytes);
// The same with one decimal whenever there is a unit above B and the figure is
// below 100: columns of it align on the point.
std::string BytesInColumn(int64_t bytes);

// A change: "-39 %", "+0.4 %", "0 %"; 0.39 is +39 %.
std::string Change(double fraction);
// A plain percentage: "12.5 %".
std::string Percent(double fraction);

// "16.2 ms", "1.53 s", "820 us", "2 min 5 s".
std::string Seconds(double seconds);

// RFC 3339, UTC, milliseconds: "2026-03-02T10:15:04.120Z".
std::string UtcTime(const google::protobuf::Timestamp& time);
// For people: "2026-03-02 10:15:04 UTC".
std::string UtcText(const google::protobuf::Timestamp& time);

// "1 step", "3 steps".
std::string Count(int64_t n, const char* one, const char* many);

}  // namespace invact

#endif  // INVACT_DAEMON_REPORT_UNITS_H_
