#include "plugin/observe/peak_note.h"

#include <gtest/gtest.h>

namespace invact {
namespace {

TEST(PeakNote, WithoutAnAllocatorNothingIsKnown) {
  PeakNote note;

  note.Look(kUnknown, 100, 10, false);

  EXPECT_EQ(note.held_at_peak(), kUnknown);
  EXPECT_EQ(note.eliminated_at_peak(), kUnknown);
}

TEST(PeakNote, APeakInTheForwardHasWhatIsSavedByNow) {
  PeakNote note;

  note.Look(1000, 0, 0, false);
  note.Look(1500, 400, 40, false);
  note.Look(1500, 300, 30, false);  // no higher peak: what was dropped is not

  EXPECT_EQ(note.held_at_peak(), 400);
  EXPECT_EQ(note.eliminated_at_peak(), 40);
}

TEST(PeakNote, APeakInTheBackwardHasWhatWasSavedBeforeIt) {
  PeakNote note;

  note.Look(1500, 400, 40, false);
  note.Look(1700, 250, 25, true);
  note.Look(1700, 0, 0, true);

  EXPECT_EQ(note.held_at_peak(), 400);

  note.Look(1800, 0, 0, false);  // the optimizer's

  EXPECT_EQ(note.held_at_peak(), 0);
  EXPECT_EQ(note.eliminated_at_peak(), 0);
}

TEST(PeakNote, APeakThatTheJobResetIsANewOne) {
  PeakNote note;
  note.Look(5000, 900, 90, false);

  note.Look(1200, 100, 10, false);

  EXPECT_EQ(note.held_at_peak(), 100);
}

}  // namespace
}  // namespace invact
