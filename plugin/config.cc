#include "plugin/config.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <utility>

extern char** environ;

namespace invact {

namespace {

using Environment = std::map<std::string, std::string, std::less<>>;

// Every key of ours; the daemon, the relay and the command line read some.
constexpr const char* kKeys[] = {
    "INVACT_POLICY",        "INVACT_EXACT",     "INVACT_VERIFY",
    "INVACT_BUDGET",        "INVACT_PLAN",      "INVACT_DAEMON",
    "INVACT_TOKEN_FILE",    "INVACT_RUN_NAME",  "INVACT_JOB_ID",
    "INVACT_STATE_DIR",     "INVACT_SPOOL_DIR", "INVACT_EXCLUDE",
    "INVACT_CHECKPOINT",    "INVACT_BITS",      "INVACT_KERNELS",
    "INVACT_LOG",           "INVACT_DISABLE",   "INVACT_COMPARE_POLICY",
    "INVACT_COMPARE_ROUND", "INVACT_DIGEST",    "INVACT_EVENTS",
    "INVACT_CUPTI"};

const char* NearestKey(std::string_view key) {
  return *std::min_element(std::begin(kKeys), std::end(kKeys),
                           [&](const char* a, const char* b) {
                             return EditDistance(key, a) < EditDistance(key, b);
                           });
}

std::string Value(const Environment& environment, std::string_view key) {
  const auto it = environment.find(key);
  return it == environment.end() ? std::string() : it->second;
}

std::vector<std::string> List(const std::string& text) {
  std::vector<std::string> items;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) items.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

std::optional<int64_t> Integer(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

// A count in another program's variable; nothing when it is none.
std::optional<int32_t> Count(const Environment& environment, const char* key) {
  const auto value = Integer(Value(environment, key));
  if (!value || *value < 0 || *value > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<int32_t>(*value);
}

// The launcher that names this process's rank also names the rest: a variable
// of another one may be left over from the shell around it.
void ReadRank(const Environment& environment, Config* config) {
  static constexpr struct {
    const char *rank, *local_rank, *world_size;
  } kLaunchers[] = {{"RANK", "LOCAL_RANK", "WORLD_SIZE"},
                    {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NUM_TASKS"},
                    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK",
                     "OMPI_COMM_WORLD_SIZE"}};
  for (const auto& launcher : kLaunchers) {
    const auto rank = Count(environment, launcher.rank);
    if (!rank) continue;
    config->rank = *rank;
    config->local_rank = Count(environment, launcher.local_rank).value_or(0);
    config->world_size = Count(environment, launcher.world_size).value_or(1);
    break;
  }
  config->restart =
      Count(environment, "TORCHELASTIC_RESTART_COUNT").value_or(0);
}

// An integer, or one with KiB, MiB, GiB, TiB. Decimal units are refused with
// the binary spelling: the two differ by 7 % at a gigabyte.
std::optional<int64_t> Bytes(const std::string& text, std::string* why) {
  const size_t digits = text.find_first_not_of("0123456789");
  const std::string unit =
      digits == std::string::npos ? "" : text.substr(digits);
  const auto number = Integer(text.substr(0, digits));
  int shift = unit == ""      ? 0
              : unit == "KiB" ? 10
              : unit == "MiB" ? 20
              : unit == "GiB" ? 30
              : unit == "TiB" ? 40
                              : -1;
  if (number && shift >= 0 &&
      *number <= (std::numeric_limits<int64_t>::max() >> shift)) {
    return *number << shift;
  }
  *why = "is no byte count: give an integer, or one with KiB, MiB, GiB, TiB";
  if (number && !unit.empty() && std::strchr("kKmMgGtT", unit[0]) != nullptr) {
    const char letter = static_cast<char>(std::toupper(unit[0]));
    *why += std::string(" (") + text.substr(0, digits) + letter + "iB?)";
  }
  return std::nullopt;
}

std::optional<bool> Flag(const std::string& text) {
  if (text.empty() || text == "0") return false;
  if (text == "1") return true;
  return std::nullopt;
}

std::string JobId(const Environment& environment) {
  if (auto id = Value(environment, "INVACT_JOB_ID"); !id.empty()) return id;
  const std::string slurm = Value(environment, "SLURM_JOB_ID");
  if (!slurm.empty()) {
    const std::string step = Value(environment, "SLURM_STEP_ID");
    return "slurm-" + slurm + (step.empty() ? "" : "." + step);
  }
  const std::string elastic = Value(environment, "TORCHELASTIC_RUN_ID");
  return elastic == "none" ? "" : elastic;
}

// What is wrong with a daemon's address; empty: nothing.
std::string AddressError(const std::string& text) {
  constexpr size_t kSocketPathBytes = 107;  // sockaddr_un, without the zero
  if (text.starts_with("unix:")) {
    const size_t length = text.size() - 5;
    if (length == 0) return "has no path after unix:";
    if (length <= kSocketPathBytes) return "";
    return "has a path of " + std::to_string(length) +
           " bytes; a Unix socket takes at most " +
           std::to_string(kSocketPathBytes);
  }
  const size_t colon = text.rfind(':');
  const auto port = colon == std::string::npos
                        ? std::nullopt
                        : Integer(text.substr(colon + 1));
  const bool good = colon != 0 && port && *port >= 1 && *port <= 65535;
  return good ? "" : "is neither unix:PATH nor HOST:PORT";
}

// Reads one key after the other; a bad value is one complaint and disables.
class Reader {
 public:
  Reader(const Environment& environment, Config* config,
         std::vector<std::string>* complaints)
      : environment_(environment), config_(config), complaints_(complaints) {}

  void ReadPolicy() {
    const std::string text = Value(environment_, "INVACT_POLICY");
    if (text.empty()) return;
    static constexpr std::pair<const char*, Policy> kPolicies[] = {
        {"observe", Policy::kObserve}, {"invert", Policy::kInvert},
        {"rebuild", Policy::kRebuild}, {"checkpoint", Policy::kCheckpoint},
        {"auto", Policy::kAuto},       {"none", Policy::kNone}};
    for (const auto& [name, policy] : kPolicies) {
      if (text != name) continue;
      config_->policy = policy;
      config_->policy_name = name;
      return;
    }
    Bad("INVACT_POLICY", text,
        text.find_first_of(",+") == std::string::npos
            ? "is no policy: give observe, invert, rebuild, checkpoint, auto "
              "or none"
            : "names several policies, and a job runs under one: give auto to "
              "rebuild and invert");
  }

  void Switch(const char* key, bool* target) {
    const std::string text = Value(environment_, key);
    if (const auto value = Flag(text)) {
      *target = *value;
    } else {
      Bad(key, text, "is neither 0 nor 1");
    }
  }

  void Budget() {
    const std::string text = Value(environment_, "INVACT_BUDGET");
    if (text.empty()) return;
    std::string why;
    config_->budget_bytes = Bytes(text, &why);
    if (!config_->budget_bytes) Bad("INVACT_BUDGET", text, why);
  }

  void Plan() {
    config_->plan = Value(environment_, "INVACT_PLAN");
    // A path, not an id: it has to be there.
    if (config_->plan.find('/') != std::string::npos &&
        access(config_->plan.c_str(), R_OK) != 0) {
      Bad("INVACT_PLAN", config_->plan,
          std::string("can't be read: ") + std::strerror(errno));
    }
  }

  void Daemon() {
    const std::string text = Value(environment_, "INVACT_DAEMON");
    const std::string why = text.empty() ? "" : AddressError(text);
    if (!why.empty()) Bad("INVACT_DAEMON", text, why);
  }

  void Bits() {
    const std::string text = Value(environment_, "INVACT_BITS");
    if (text.empty() || text == "packed") return;
    if (text == "mantissa") {
      config_->bits_in_mantissa = true;
      if (config_->exact) {
        Bad("INVACT_BITS", text,
            "changes outputs, which INVACT_EXACT=1 rules out: give one of the "
            "two");
      }
    } else {
      Bad("INVACT_BITS", text, "is neither packed nor mantissa");
    }
  }

  void Events() {
    const std::string text = Value(environment_, "INVACT_EVENTS");
    if (text.empty() || text == "0") return;
    config_->events = true;
    if (text.rfind("file:", 0) == 0 && text.size() > 5) {
      config_->events_file = text.substr(5);
    } else if (text == "store") {
      config_->events_store = true;
    } else if (text != "1") {
      Bad("INVACT_EVENTS", text, "is none of 0, 1, store, file:PATH");
    }
  }

  void Cupti() {
    const std::string text = Value(environment_, "INVACT_CUPTI");
    config_->injection = Value(environment_, "CUDA_INJECTION64_PATH");
    if (text.empty() || text == "0") return;
    if (text == "1") {
      config_->cupti = Config::Cupti::kOn;
    } else if (text == "sources") {
      config_->cupti = Config::Cupti::kSources;
    } else {
      return Bad("INVACT_CUPTI", text, "is none of 0, 1, sources");
    }
    if (!config_->events) {
      Bad("INVACT_CUPTI", text,
          "needs the account of device memory: give INVACT_EVENTS=1, too");
    }
  }

  void LogLevel() {
    const std::string text = Value(environment_, "INVACT_LOG");
    if (text.empty() || text == "info") return;
    if (text == "error") {
      config_->log = Config::Log::kError;
    } else if (text == "debug") {
      config_->log = Config::Log::kDebug;
    } else if (text == "ledger") {
      config_->ledger_log = true;
    } else if (text.rfind("ledger:", 0) == 0 && text.size() > 7) {
      config_->ledger_log = true;
      config_->ledger_log_file = text.substr(7);
    } else {
      Bad("INVACT_LOG", text,
          "is none of error, info, debug, ledger, ledger:FILE");
    }
  }

  void UnknownKeys() {
    for (const auto& [key, value] : environment_) {
      if (key.rfind("INVACT_", 0) != 0) continue;
      if (std::find(std::begin(kKeys), std::end(kKeys), key) ==
          std::end(kKeys)) {
        complaints_->push_back("unknown key " + key +
                               " is ignored; did you "
                               "mean " +
                               NearestKey(key) + "?");
      }
    }
  }

 private:
  void Bad(const std::string& key, const std::string& text,
           const std::string& why) {
    complaints_->push_back(key + "=" + Shown(text) + " " + why +
                           "; the job runs plain");
    config_->bad_value = true;
  }

  // A value that would not fit on a line is cut.
  static std::string Shown(std::string text) {
    constexpr size_t kLongest = 200;
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
    }
    if (text.size() > kLongest) text.replace(kLongest, text.npos, "...");
    return text;
  }

  const Environment& environment_;
  Config* config_;
  std::vector<std::string>* complaints_;
};

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::vector<std::string> OwnArguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> arguments;
  for (std::string argument; std::getline(file, argument, '\0');) {
    arguments.push_back(argument);
  }
  return arguments;
}

}  // namespace

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(
          row[j], std::min({row[j] + 1, row[j - 1] + 1, substitute}));
    }
  }
  return row[b.size()];
}

Config ParseConfig(
    const std::vector<std::pair<std::string, std::string>>& pairs,
    std::vector<std::string>* complaints) {
  const Environment environment(pairs.begin(), pairs.end());
  Config config;
  config.job_id = JobId(environment);
  ReadRank(environment, &config);
  config.run_name = Value(environment, "INVACT_RUN_NAME");
  config.exclude = List(Value(environment, "INVACT_EXCLUDE"));
  config.checkpoint = List(Value(environment, "INVACT_CHECKPOINT"));
  config.kernel_libraries = List(Value(environment, "INVACT_KERNELS"));
  Reader reader(environment, &config, complaints);
  reader.ReadPolicy();
  reader.Switch("INVACT_EXACT", &config.exact);
  reader.Switch("INVACT_VERIFY", &config.verify);
  reader.Switch("INVACT_DIGEST", &config.digest);
  reader.Switch("INVACT_DISABLE", &config.disabled);
  reader.Budget();
  reader.Plan();
  reader.Daemon();
  reader.Bits();
  reader.Events();
  reader.Cupti();
  reader.LogLevel();
  reader.UnknownKeys();
  return config;
}

Config ReadConfig(std::vector<std::string>* complaints) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (char** variable = environ; variable != nullptr && *variable != nullptr;
       ++variable) {
    const char* equals = std::strchr(*variable, '=');
    if (equals == nullptr) continue;
    pairs.emplace_back(std::string(static_cast<const char*>(*variable), equals),
                       std::string(equals + 1));
  }
  Config config = ParseConfig(pairs, complaints);
  if (config.run_name.empty()) config.run_name = ScriptName(OwnArguments());
  return config;
}

std::string ScriptName(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return "";
  const std::string program = BaseName(arguments[0]);
  if (!program.starts_with("python") && !program.starts_with("pypy")) {
    return program;
  }
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!argument.starts_with("-")) return BaseName(argument);
    if (argument == "-W" || argument == "-X" ||
        argument == "--check-hash-based-pycs") {
      ++i;  // takes a word of its own
      continue;
    }
    if (argument.starts_with("--")) continue;
    // Options of one letter may be joined: -um, -uc.
    const size_t last = argument.find_first_of("cmWX", 1);
    if (argument == "-") break;
    if (last == std::string::npos || argument[last] == 'W' ||
        argument[last] == 'X') {
      continue;
    }
    if (argument[last] == 'c') break;  // what follows is a program, not a name
    if (last + 1 < argument.size()) return argument.substr(last + 1);
    return i + 1 < arguments.size() ? arguments[i + 1] : program;
  }
  return program;
}

bool GlobMatch(const std::string& pattern, const std::string& path) {
  // Greedy with one point to return to: linear in practice.
  size_t p = 0, s = 0, star = std::string::npos, resume = 0;
  while (s < path.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = s;
    } else if (p < pattern.size() && pattern[p] == path[s]) {
      ++p;
      ++s;
    } else if (star != std::string::npos) {
      p = star + 1;
      s = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size() && !pattern.empty();
}

std::string UnmatchedGlob(const std::string& key, const std::string& glob,
                          const std::vector<std::string>& paths) {
  constexpr size_t kNearest = 3;
  std::vector<std::pair<size_t, const std::string*>> near;
  for (const std::string& path : paths) {
    near.emplace_back(EditDistance(glob, path), &path);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) {
    return a.first < b.first;
  });
  near.resize(std::min(near.size(), kNearest));
  std::string text = key + "=" + glob + " matches no module";
  const char* separator = "; nearest: ";
  for (const auto& [distance, path] : near) {
    text += separator + *path;
    separator = ", ";
  }
  return text;
}

}  // namespace invact
