// What the environment asked for: read once, in config.cc alone, immutable
// afterwards. A bad value makes the job run plain; an unknown INVACT_ key is
// named with the nearest known one and the rest applies.
#ifndef INVACT_PLUGIN_CONFIG_H_
#define INVACT_PLUGIN_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace invact {

enum class Policy { kNone, kObserve, kInvert, kRebuild, kCheckpoint, kAuto };

struct Config {
  Policy policy = Policy::kInvert;
  std::string policy_name = "invert";  // as it is shown
  bool exact = false;                  // INVACT_EXACT=1
  bool verify = false;                 // INVACT_VERIFY=1
  std::optional<int64_t> budget_bytes;
  std::string plan;      // INVACT_PLAN
  std::string run_name;  // INVACT_RUN_NAME, else the script's base name
  std::string job_id;    // by the rule of docs/attach.md; empty: the run id
  int32_t rank = 0, local_rank = 0, world_size = 1, restart = 0;
  std::vector<std::string> exclude;     // globs over module paths
  std::vector<std::string> checkpoint;  // globs over module paths
  bool bits_in_mantissa = false;  // INVACT_BITS=mantissa; never with exact
  std::vector<std::string> kernel_libraries;  // INVACT_KERNELS
  enum class Log { kError, kInfo, kDebug } log = Log::kInfo;
  bool ledger_log = false;      // INVACT_LOG=ledger[:FILE]
  std::string ledger_log_file;  // empty: stderr
  bool digest = false;          // INVACT_DIGEST=1
  bool events = false;          // INVACT_EVENTS=1, store or file:PATH
  bool events_store = false;    // INVACT_EVENTS=store
  std::string events_file;      // empty: none is written
  enum class Cupti { kOff, kOn, kSources } cupti = Cupti::kOff;  // INVACT_CUPTI
  std::string injection;   // another's CUDA_INJECTION64_PATH
  bool disabled = false;   // INVACT_DISABLE=1
  bool bad_value = false;  // said at the first save: the job runs plain
};

// Reads the process's environment. Complaints (one line each, "invact: ...")
// are appended to `complaints`; they are to be said by rank 0's start only when
// something is saved, except those that make the job run plain.
Config ReadConfig(std::vector<std::string>* complaints);

// The same from a given environment, for tests. Pairs of key and value.
Config ParseConfig(
    const std::vector<std::pair<std::string, std::string>>& environment,
    std::vector<std::string>* complaints);

// What a run is called when nobody names it: the base name of the script, of
// the module after -m, or of the program. Never an argument.
std::string ScriptName(const std::vector<std::string>& arguments);

// Letters to insert, drop or replace.
size_t EditDistance(std::string_view a, std::string_view b);

// `*` crosses dots. An empty pattern matches nothing.
bool GlobMatch(const std::string& pattern, const std::string& path);
// "INVACT_CHECKPOINT=enc.* matches no module; nearest: encoder, decoder" of
// these paths.
std::string UnmatchedGlob(const std::string& key, const std::string& glob,
                          const std::vector<std::string>& paths);

}  // namespace invact

#endif  // INVACT_PLUGIN_CONFIG_H_
