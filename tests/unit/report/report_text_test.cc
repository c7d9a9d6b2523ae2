#include "daemon/report/report_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "daemon/report/build_report.h"
#include "daemon/report/escape.h"
#include "proto/codes.h"
#include "tests/unit/report/models.h"
#include "tests/unit/report/samples.h"

namespace invact {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

v1::Report ReportOf(RunBuilder builder) {
  return *BuildReport(builder.Complete(0).Take(), StepChoice{});
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The example of the design, to the letter.
TEST(ReportSentence, SaysWhatWasSavedAgainstBaselineAndCheckpointing) {
  v1::Report report;
  report.mutable_step()->set_complete(true);
  report.mutable_saved()->set_baseline_bytes(int64_t{79} * kGiB / 10);
  report.mutable_saved()->set_eliminated_bytes(int64_t{31} * kGiB / 10);
  report.mutable_saved()->set_eliminated_fraction(3.1 / 7.9);
  report.mutable_peak()->set_allocated_bytes(79);
  report.mutable_peak()->set_eliminated_at_peak_bytes(21);
  report.mutable_checkpoint()->set_held_bytes(int64_t{12} * kGiB / 10);
  report.mutable_checkpoint()->set_extra_time_fraction(0.29);
  report.mutable_checkpoint()->set_source("modelled");

  EXPECT_EQ(ReportSentence(report),
            "Saved 3.1 GiB of 7.9 GiB of activations (-39 %), peak -21 %; full "
            "checkpointing would hold 1.2 GiB at +29 % time (modelled).");
}

TEST(ReportSentence, LeavesOutWhatIsNotKnown) {
  RunBuilder builder;
  builder.Invert("act", {"GeluBackward0", 16 * kMiB});

  EXPECT_EQ(ReportSentence(ReportOf(std::move(builder))),
            "Saved 15 MiB of 16 MiB of activations (-94 %).");
}

TEST(ReportSentence, NamesTheLayerThatRanOutOfMemory) {
  v1::Report report;
  v1::OutOfMemory& oom = *report.mutable_out_of_memory();
  oom.set_phase("forward");
  oom.set_layer("model.layers.17.mlp");
  oom.set_requested_bytes(512 * kMiB);
  oom.set_saved_bytes(int64_t{612} * kGiB / 10);

  EXPECT_EQ(ReportSentence(report),
            "Out of memory in forward of step 0 at `model.layers.17.mlp`, "
            "asking for 512 MiB; saved so far 61.2 GiB.");
}

TEST(ReportSentence, NamesTheLargestReasonAndTheNextCommand) {
  RunBuilder builder;
  builder.Decline("a", {"GeluBackward0", kMiB}, "DTYPE_UNSUPPORTED");
  builder.Decline("b", {"SiluBackward0", 2 * kMiB}, "KERNEL_MISSING");

  EXPECT_THAT(ReportSentence(ReportOf(std::move(builder))),
              StartsWith("Nothing was eliminated of 3 MiB of activations "
                         "(measured): the largest reason is KERNEL_MISSING (1 "
                         "site, 2 MiB); next: invact doctor."));
}

TEST(ReportSentence, SaysThatAStepWasNotCompleted) {
  RunBuilder builder;
  builder.Invert("act", {"GeluBackward0", 16 * kMiB});
  const StoredRun run = builder.Live(3, "backward").Take();

  EXPECT_EQ(ReportSentence(*BuildReport(run, StepChoice{})),
            "Saved 15 MiB of 16 MiB of activations (-94 %) so far in step 3, "
            "which was not completed.");
}

TEST(ReportSentence, SaysThatObserveChangesNothing) {
  EXPECT_THAT(ReportSentence(ReportOf(BertRun(false))),
              HasSubstr("policy observe changes nothing; next: invact run "
                        "--policy invert -- COMMAND."));
}

TEST(ReportSentence, SaysWhatAPolicyFoundNothingOf) {
  const std::pair<const char*, const char*> texts[] = {
      {"invert", "no call of GELU or SiLU was seen that could be inverted"},
      {"rebuild", "nothing was saved that could be made again from fewer"},
      {"auto", "could be inverted, or made again from fewer bytes"},
      {"checkpoint", "no block was called that could be checkpointed"}};
  for (const auto& [policy, text] : texts) {
    v1::Report report = ReportOf(BertRun(false));
    report.mutable_run()->set_policy(policy);
    report.mutable_run()->set_exact(false);
    report.clear_declines();

    EXPECT_THAT(ReportSentence(report), HasSubstr(text)) << policy;
  }
}

TEST(ReportSentence, SaysThatExactInversionHasNothingToDo) {
  v1::Report report = ReportOf(BertRun(false));
  report.mutable_run()->set_policy("invert");
  report.mutable_run()->set_exact(true);

  EXPECT_THAT(ReportSentence(report),
              HasSubstr("exact gradients leave policy invert nothing to do; "
                        "next: invact run --policy rebuild -- COMMAND."));
}

TEST(ReportSentence, SaysWhatToDoAboutBlocksThatAreLeftAlone) {
  const std::pair<Reason, const char*> texts[] = {
      {Reason::kInCheckpointRegion, "keep the job's own checkpointing, or"},
      {Reason::kCompiledGraph, "run the job without torch.compile."},
      {Reason::kUserExcluded, "unset INVACT_EXCLUDE."}};
  for (const auto& [reason, text] : texts) {
    v1::Report report = ReportOf(BertRun(false));
    report.mutable_run()->set_policy("checkpoint");
    report.clear_declines();
    report.add_declines()->set_reason(std::string(Name(reason)));

    EXPECT_THAT(ReportSentence(report),
                HasSubstr(std::string("next: ") + text));
  }
}

TEST(ReportSentence, SaysWhereMoreIsHeldThanBefore) {
  RunBuilder builder;
  v1::SiteRow& row = builder.Invert("act", {"GeluBackward0", kMiB});
  row.set_held_bytes(2 * kMiB);

  const std::string sentence = ReportSentence(ReportOf(std::move(builder)));

  EXPECT_THAT(sentence,
              StartsWith("Nothing was eliminated: 2 MiB are held where plain "
                         "PyTorch would hold 1 MiB (measured): what was "
                         "substituted gained nothing"));
}

TEST(ReportText, OpensWithTheSentenceInOneLine) {
  const v1::Report report = ReportOf(LlamaRun(2, true));

  EXPECT_EQ(Lines(ReportToText(report, TextStyle()))[0],
            ReportSentence(report));
}

TEST(ReportText, StaysWithinItsWidth) {
  for (const std::string& name : SampleNames()) {
    // Words longer than a line are not broken.
    if (name == "hostile") continue;
    const auto report = BuildReport(SampleRun(name), StepChoice{});
    ASSERT_TRUE(report.ok());
    for (const int width : {90, 100, 140}) {
      TextStyle style;
      style.width = width;
      const auto lines = Lines(ReportToText(*report, style));
      for (size_t i = 1; i < lines.size(); ++i) {
        EXPECT_LE(DisplayWidth(lines[i]), width) << lines[i];
        EXPECT_THAT(lines[i], Not(EndsWith(" ")));
      }
    }
  }
}

TEST(ReportText, A126LayerModelFitsAScreen) {
  const v1::Report report = ReportOf(LlamaRun(126, true));

  EXPECT_LE(Lines(ReportToText(report, TextStyle())).size(), 50u);
}

TEST(ReportText, AllShowsEachCallSite) {
  const v1::Report report = ReportOf(LlamaRun(3, true));
  TextStyle style;
  style.all = true;
  size_t rows = 0;
  for (const std::string& line : Lines(ReportToText(report, style))) {
    rows += line.starts_with("  model.layers.");
  }

  size_t want = 0;
  for (const v1::Layer& layer : report.layers()) {
    want += layer.name().starts_with("model.layers.");
  }
  EXPECT_EQ(rows, want);
}

TEST(ReportText, HasColoursOnlyWhereAsked) {
  const v1::Report report = ReportOf(LlamaRun(2, true));
  TextStyle style;
  EXPECT_THAT(ReportToText(report, style), Not(HasSubstr("\x1b")));

  style.colour = true;
  std::string coloured = ReportToText(report, style);

  // Nothing but the colours is added.
  for (size_t at; (at = coloured.find('\x1b')) != std::string::npos;) {
    coloured.erase(at, coloured.find('m', at) - at + 1);
  }
  style.colour = false;
  EXPECT_EQ(coloured, ReportToText(report, style));
}

TEST(ReportText, NamesTheSourceOfEachFigure) {
  const auto report = BuildReport(SampleRun("llama_invert"), StepChoice{});
  const std::string text = ReportToText(*report, TextStyle());

  for (const std::string& line : Lines(text)) {
    if (line.starts_with("  plain PyTorch")) {
      EXPECT_THAT(line, EndsWith("measured, peak modelled"));
    }
    if (line.starts_with("  this run")) {
      EXPECT_THAT(line, EndsWith("measured"));
    }
    if (line.starts_with("  full checkpointing")) {
      EXPECT_THAT(line, EndsWith("modelled"));
    }
    if (line.starts_with("Layers")) {
      EXPECT_THAT(line, HasSubstr("measured"));
    }
  }
}

TEST(ReportText, NamesTheLargestStepOnlyWhereItIsLarger) {
  v1::Report report = ReportOf(LlamaRun(2, true));
  report.mutable_max()->set_step_index(7);  // as large as the one shown
  EXPECT_THAT(ReportToText(report, TextStyle()),
              Not(HasSubstr("largest step")));

  report.mutable_max()->set_baseline_bytes(9 * kGiB);
  EXPECT_THAT(ReportToText(report, TextStyle()),
              HasSubstr("largest step   step 7: baseline 9 GiB"));
}

TEST(ReportText, SaysHowTheAllocatorAgrees) {
  const auto verdict = [](int64_t delta, int64_t input) {
    RunBuilder builder;
    builder.Keep("a", {"AddBackward0", 1000 * kMiB - input});
    builder.Keep("a", {"ConvolutionBackward0", input, "float32", "input"});
    builder.totals().set_allocated_before_bytes(0);
    builder.totals().set_allocated_instant_bytes(delta);
    std::string out;
    for (const std::string& line :
         Lines(ReportToText(ReportOf(std::move(builder)), TextStyle()))) {
      out += line + " ";
    }
    return out;
  };

  EXPECT_THAT(verdict(1001 * kMiB, 0), HasSubstr("agree within 0.5 %"));
  EXPECT_THAT(verdict(1030 * kMiB, 0), HasSubstr("allocator rounding"));
  EXPECT_THAT(verdict(1300 * kMiB, 0), HasSubstr("more than saved tensors"));
  EXPECT_THAT(verdict(950 * kMiB, 50 * kMiB), HasSubstr("50 MiB of inputs"));
  EXPECT_THAT(verdict(500 * kMiB, 50 * kMiB), HasSubstr("less than"));
}

}  // namespace
}  // namespace invact
