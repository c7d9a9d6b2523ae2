#include "daemon/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <vector>

namespace invact {
namespace {

constexpr size_t kFileBytes = 4 << 20;
constexpr size_t kFiles = 3;

}  // namespace

absl::Status StartLog(const std::string& file, const std::string& level,
                      bool to_stderr) {
  try {
    std::vector<spdlog::sink_ptr> sinks;
    sinks.push_back(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
        file, kFileBytes, kFiles));
    if (to_stderr) {
      sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    }
    auto logger =
        std::make_shared<spdlog::logger>("invactd", sinks.begin(), sinks.end());
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                        spdlog::pattern_time_type::utc);
    logger->set_level(spdlog::level::from_str(level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
  } catch (const spdlog::spdlog_ex& error) {
    return absl::UnavailableError(std::string("cannot write the log: ") +
                                  error.what());
  }
  return absl::OkStatus();
}

// "{}": names of runs may hold braces.
void LogError(const std::string& text) { spdlog::error("{}", text); }
void LogInfo(const std::string& text) { spdlog::info("{}", text); }
void LogDebug(const std::string& text) { spdlog::debug("{}", text); }

}  // namespace invact
