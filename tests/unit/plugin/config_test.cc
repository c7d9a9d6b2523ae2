#include "plugin/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

namespace invact {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Parsed {
  Config config;
  std::vector<std::string> complaints;
};

Parsed Parse(std::vector<std::pair<std::string, std::string>> environment) {
  Parsed parsed;
  parsed.config = ParseConfig(environment, &parsed.complaints);
  return parsed;
}

// One complaint that holds all of the texts, and the job runs plain.
void ExpectRefused(const std::string& key, const std::string& value,
                   const std::string& hint) {
  const Parsed parsed = Parse({{key, value}});
  EXPECT_TRUE(parsed.config.bad_value) << key << "=" << value;
  EXPECT_THAT(parsed.complaints,
              ElementsAre(AllOf(HasSubstr(key + "=" + value), HasSubstr(hint),
                                HasSubstr("the job runs plain"))));
}

TEST(Config, InvertsByDefault) {
  const Parsed parsed = Parse({{"PATH", "/bin"}});

  EXPECT_EQ(parsed.config.policy, Policy::kInvert);
  EXPECT_EQ(parsed.config.policy_name, "invert");
  EXPECT_FALSE(parsed.config.disabled);
  EXPECT_FALSE(parsed.config.bad_value);
  EXPECT_THAT(parsed.complaints, IsEmpty());
}

TEST(Config, KnowsEveryPolicy) {
  const std::pair<const char*, Policy> policies[] = {
      {"observe", Policy::kObserve}, {"invert", Policy::kInvert},
      {"rebuild", Policy::kRebuild}, {"checkpoint", Policy::kCheckpoint},
      {"auto", Policy::kAuto},       {"none", Policy::kNone}};
  for (const auto& [name, policy] : policies) {
    const Parsed parsed = Parse({{"INVACT_POLICY", name}});
    EXPECT_EQ(parsed.config.policy, policy) << name;
    EXPECT_EQ(parsed.config.policy_name, name);
    EXPECT_THAT(parsed.complaints, IsEmpty());
  }
}

TEST(Config, RefusesBadValuesAndSaysWhatToWrite) {
  ExpectRefused("INVACT_POLICY", "offload", "observe");
  ExpectRefused("INVACT_POLICY", "rebuild,invert", "names several");
  ExpectRefused("INVACT_POLICY", "rebuild+foo", "names several");
  ExpectRefused("INVACT_EXACT", "yes", "neither 0 nor 1");
  ExpectRefused("INVACT_VERIFY", "2", "neither 0 nor 1");
  ExpectRefused("INVACT_DIGEST", "yes", "neither 0 nor 1");
  ExpectRefused("INVACT_EVENTS", "yes", "none of 0, 1, store, file:PATH");
  ExpectRefused("INVACT_EVENTS", "file:", "none of 0, 1, store, file:PATH");
  ExpectRefused("INVACT_CUPTI", "all", "none of 0, 1, sources");
  ExpectRefused("INVACT_CUPTI", "1", "INVACT_EVENTS=1");
  ExpectRefused("INVACT_DISABLE", "true", "neither 0 nor 1");
  ExpectRefused("INVACT_BITS", "loose", "packed");
  ExpectRefused("INVACT_LOG", "verbose", "ledger");
  ExpectRefused("INVACT_PLAN", "/nowhere/plan.json", "No such file");
}

TEST(Config, EventsAreCountedAndWrittenWhereAsked) {
  EXPECT_FALSE(Parse({}).config.events);
  EXPECT_FALSE(Parse({{"INVACT_EVENTS", "0"}}).config.events);
  EXPECT_TRUE(Parse({{"INVACT_EVENTS", "1"}}).config.events);
  EXPECT_EQ(Parse({{"INVACT_EVENTS", "1"}}).config.events_file, "");
  EXPECT_FALSE(Parse({{"INVACT_EVENTS", "1"}}).config.events_store);
  EXPECT_TRUE(Parse({{"INVACT_EVENTS", "store"}}).config.events);
  EXPECT_TRUE(Parse({{"INVACT_EVENTS", "store"}}).config.events_store);
  EXPECT_TRUE(Parse({{"INVACT_EVENTS", "file:/a b"}}).config.events);
  EXPECT_EQ(Parse({{"INVACT_EVENTS", "file:/a b"}}).config.events_file, "/a b");
}

TEST(Config, CuptiIsUsedWhereAskedTogetherWithEvents) {
  using Cupti = Config::Cupti;
  EXPECT_EQ(Parse({{"INVACT_EVENTS", "1"}}).config.cupti, Cupti::kOff);
  const auto with = [](const char* value) {
    return Parse({{"INVACT_EVENTS", "1"}, {"INVACT_CUPTI", value}})
        .config.cupti;
  };
  EXPECT_EQ(with("0"), Cupti::kOff);
  EXPECT_EQ(with("1"), Cupti::kOn);
  EXPECT_EQ(with("sources"), Cupti::kSources);
}

TEST(Config, EmptyValueCountsAsNotSet) {
  const Parsed parsed = Parse({{"INVACT_POLICY", ""},
                               {"INVACT_EXACT", ""},
                               {"INVACT_BUDGET", ""},
                               {"INVACT_DAEMON", ""},
                               {"INVACT_LOG", ""}});

  EXPECT_FALSE(parsed.config.bad_value);
  EXPECT_THAT(parsed.complaints, IsEmpty());
}

TEST(Config, ReadsBytesInBinaryUnits) {
  EXPECT_EQ(Parse({{"INVACT_BUDGET", "123"}}).config.budget_bytes, 123);
  EXPECT_EQ(Parse({{"INVACT_BUDGET", "2KiB"}}).config.budget_bytes, 2048);
  EXPECT_EQ(Parse({{"INVACT_BUDGET", "3MiB"}}).config.budget_bytes, 3 << 20);
  EXPECT_EQ(Parse({{"INVACT_BUDGET", "40GiB"}}).config.budget_bytes,
            int64_t{40} << 30);
  EXPECT_EQ(Parse({{"INVACT_BUDGET", "1TiB"}}).config.budget_bytes,
            int64_t{1} << 40);
}

TEST(Config, RefusesDecimalUnitsWithTheBinarySpelling) {
  ExpectRefused("INVACT_BUDGET", "40GB", "40GiB");
  ExpectRefused("INVACT_BUDGET", "40G", "40GiB");
  ExpectRefused("INVACT_BUDGET", "40g", "40GiB");
  ExpectRefused("INVACT_BUDGET", "7mb", "7MiB");
}

TEST(Config, RefusesWhatIsNoByteCount) {
  for (const char* text : {"lots", "-1", "1.5GiB", "GiB", "9999999999TiB",
                           "99999999999999999999", "1 2"}) {
    ExpectRefused("INVACT_BUDGET", text, "give an integer");
  }
}

TEST(Config, ChecksTheDaemonsAddress) {
  EXPECT_FALSE(Parse({{"INVACT_DAEMON", "unix:/run/d.sock"}}).config.bad_value);
  EXPECT_FALSE(Parse({{"INVACT_DAEMON", "host:4317"}}).config.bad_value);
  EXPECT_FALSE(Parse({{"INVACT_DAEMON", "[::1]:4317"}}).config.bad_value);
  ExpectRefused("INVACT_DAEMON", "host", "unix:PATH");
  ExpectRefused("INVACT_DAEMON", "host:http", "HOST:PORT");
  ExpectRefused("INVACT_DAEMON", "host:65536", "HOST:PORT");
  ExpectRefused("INVACT_DAEMON", "unix:", "path");
  ExpectRefused("INVACT_DAEMON", "unix:/" + std::string(107, 'a'), "107");
}

TEST(Config, NamesUnknownKeysWithTheNearestAndAppliesTheRest) {
  const Parsed parsed =
      Parse({{"INVACT_POLCY", "none"}, {"INVACT_EXACT", "1"}, {"POLICY", "x"}});

  EXPECT_TRUE(parsed.config.exact);
  EXPECT_FALSE(parsed.config.bad_value);
  EXPECT_THAT(parsed.complaints,
              ElementsAre(AllOf(HasSubstr("INVACT_POLCY"),
                                HasSubstr("mean INVACT_POLICY?"))));
}

TEST(Config, ReadsListsAndNames) {
  const Config config = Parse({{"INVACT_EXCLUDE", "encoder.*,head"},
                               {"INVACT_CHECKPOINT", ",block.*,"},
                               {"INVACT_KERNELS", "/a.so"},
                               {"INVACT_RUN_NAME", "mine"},
                               {"INVACT_BITS", "mantissa"}})
                            .config;

  EXPECT_THAT(config.exclude, ElementsAre("encoder.*", "head"));
  EXPECT_THAT(config.checkpoint, ElementsAre("block.*"));
  EXPECT_THAT(config.kernel_libraries, ElementsAre("/a.so"));
  EXPECT_EQ(config.run_name, "mine");
  EXPECT_TRUE(config.bits_in_mantissa);
}

TEST(Config, ReadsTheLog) {
  EXPECT_EQ(Parse({{"INVACT_LOG", "error"}}).config.log, Config::Log::kError);
  EXPECT_EQ(Parse({{"INVACT_LOG", "debug"}}).config.log, Config::Log::kDebug);
  const Config to_stderr = Parse({{"INVACT_LOG", "ledger"}}).config;
  EXPECT_TRUE(to_stderr.ledger_log);
  EXPECT_EQ(to_stderr.ledger_log_file, "");
  const Config to_file = Parse({{"INVACT_LOG", "ledger:/tmp/a:b"}}).config;
  EXPECT_TRUE(to_file.ledger_log);
  EXPECT_EQ(to_file.ledger_log_file, "/tmp/a:b");
}

TEST(Config, JobIdIsTheUsersThenSlurmsThenTorchruns) {
  EXPECT_EQ(
      Parse({{"INVACT_JOB_ID", "j"}, {"SLURM_JOB_ID", "7"}}).config.job_id,
      "j");
  EXPECT_EQ(Parse({{"SLURM_JOB_ID", "7"},
                   {"SLURM_STEP_ID", "0"},
                   {"TORCHELASTIC_RUN_ID", "t"}})
                .config.job_id,
            "slurm-7.0");
  EXPECT_EQ(Parse({{"SLURM_JOB_ID", "7"}}).config.job_id, "slurm-7");
  EXPECT_EQ(Parse({{"TORCHELASTIC_RUN_ID", "t"}}).config.job_id, "t");
  EXPECT_EQ(Parse({{"TORCHELASTIC_RUN_ID", "none"}}).config.job_id, "");
}

TEST(Config, RankIsTorchrunsThenSlurmsThenOpenMpis) {
  const Config torchrun = Parse({{"RANK", "9"},
                                 {"LOCAL_RANK", "1"},
                                 {"WORLD_SIZE", "16"},
                                 {"TORCHELASTIC_RESTART_COUNT", "2"},
                                 {"SLURM_PROCID", "1"},
                                 {"SLURM_STEP_NUM_TASKS", "2"}})
                              .config;
  EXPECT_EQ(torchrun.rank, 9);
  EXPECT_EQ(torchrun.local_rank, 1);
  EXPECT_EQ(torchrun.world_size, 16);
  EXPECT_EQ(torchrun.restart, 2);

  const Config slurm = Parse({{"SLURM_PROCID", "3"},
                              {"SLURM_LOCALID", "3"},
                              {"SLURM_STEP_NUM_TASKS", "8"}})
                           .config;
  EXPECT_EQ(slurm.rank, 3);
  EXPECT_EQ(slurm.local_rank, 3);
  EXPECT_EQ(slurm.world_size, 8);

  const Config mpi = Parse({{"OMPI_COMM_WORLD_RANK", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                            {"OMPI_COMM_WORLD_SIZE", "4"}})
                         .config;
  EXPECT_EQ(mpi.rank, 2);
  EXPECT_EQ(mpi.world_size, 4);
}

TEST(Config, OneProcessInAnAllocationOfManyTasksIsAWorldOfOne) {
  const Config config =
      Parse({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}).config;

  EXPECT_EQ(config.rank, 0);
  EXPECT_EQ(config.world_size, 1);
}

TEST(Config, IgnoresARankThatIsNoNumber) {
  const Config config = Parse({{"RANK", "general"}}).config;

  EXPECT_EQ(config.rank, 0);
  EXPECT_FALSE(config.bad_value);
}

TEST(Config, NamesARunByItsScriptAndNeverByAnArgument) {
  const auto name = [](std::vector<std::string> arguments) {
    return ScriptName(arguments);
  };
  EXPECT_EQ(name({"python3.11", "-u", "/a/train.py", "--key=secret"}),
            "train.py");
  EXPECT_EQ(name({"/usr/bin/python", "-m", "pkg.train", "secret"}),
            "pkg.train");
  EXPECT_EQ(name({"python", "-um", "pkg.train"}), "pkg.train");
  EXPECT_EQ(name({"python", "-W", "ignore", "-X", "dev", "t.py"}), "t.py");
  EXPECT_EQ(name({"python", "-Wignore", "t.py"}), "t.py");
  EXPECT_EQ(name({"python", "-c", "password='x'"}), "python");
  EXPECT_EQ(name({"python", "-uc", "password='x'"}), "python");
  EXPECT_EQ(name({"python", "-"}), "python");
  EXPECT_EQ(name({"./build/train", "secret"}), "train");
  EXPECT_EQ(name({}), "");
}

TEST(GlobMatch, StarCrossesDots) {
  EXPECT_TRUE(GlobMatch("encoder.*", "encoder.layer.3.mlp"));
  EXPECT_TRUE(GlobMatch("*.mlp", "encoder.layer.3.mlp"));
  EXPECT_TRUE(GlobMatch("e*3*p", "encoder.layer.3.mlp"));
  EXPECT_TRUE(GlobMatch("*", ""));
  EXPECT_FALSE(GlobMatch("encoder", "encoder.layer"));
  EXPECT_FALSE(GlobMatch("*.mlp", "mlp"));
  EXPECT_FALSE(GlobMatch("", "encoder"));
  EXPECT_FALSE(GlobMatch("", ""));
}

}  // namespace
}  // namespace invact
