// What a calibration found out is read whole, once a version, whoever writes.
#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <memory>
#include <thread>

#include "plugin/ring/reader.h"
#include "plugin/ring/text_arena.h"
#include "plugin/ring/writer.h"

namespace invact {
namespace {

// Every error in it is `number`.
KernelEntry Entry(double number) {
  KernelEntry entry = {};
  entry.stated_max = entry.stated_rms = number;
  entry.floor_max = entry.floor_rms = number;
  entry.error_max = entry.error_rms = number;
  return entry;
}

class KernelSlots : public testing::Test {
 protected:
  std::unique_ptr<SharedRun> shared_ = std::make_unique<SharedRun>();
  const Reader reader_{shared_.get()};
  uint64_t stamp_ = 0;
  KernelView kernel_;
};

TEST_F(KernelSlots, WhatWasEnteredComesBackOnce) {
  KernelEntry entry = Entry(0.5);
  entry.op = AppendText(shared_.get(), "aten::gelu(tanh)");
  entry.dtype = AppendText(shared_.get(), "bfloat16");
  entry.device = AppendText(shared_.get(), "cuda:0");
  entry.library = AppendText(shared_.get(), "/opt/libmine.so");
  entry.detail = AppendText(shared_.get(), "NaN at x = 3");
  entry.side_bits = 1;
  entry.reason = static_cast<uint8_t>(Reason::kCalibrationFailed);
  entry.floor_max = 0;
  entry.error_max = std::numeric_limits<double>::infinity();
  entry.error_rms = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(reader_.kernel_count(), 0u);
  PutKernel(shared_.get(), 0, entry);

  ASSERT_EQ(reader_.kernel_count(), 1u);
  EXPECT_TRUE(reader_.KernelChanged(0, stamp_));
  ASSERT_TRUE(reader_.Kernel(0, &stamp_, &kernel_));
  EXPECT_EQ(kernel_.op, "aten::gelu(tanh)");
  EXPECT_EQ(kernel_.dtype, "bfloat16");
  EXPECT_EQ(kernel_.device, "cuda:0");
  EXPECT_EQ(kernel_.library, "/opt/libmine.so");
  EXPECT_EQ(kernel_.detail, "NaN at x = 3");
  EXPECT_EQ(kernel_.side_bits, 1);
  EXPECT_EQ(kernel_.reason, Reason::kCalibrationFailed);
  EXPECT_EQ(kernel_.stated_rms, 0.5);
  EXPECT_EQ(kernel_.floor_max, 0);
  EXPECT_EQ(kernel_.error_max, -1) << "not finite: not known";
  EXPECT_EQ(kernel_.error_rms, -1);
  EXPECT_FALSE(reader_.KernelChanged(0, stamp_));
  EXPECT_FALSE(reader_.Kernel(0, &stamp_, &kernel_));

  PutKernel(shared_.get(), 0, Entry(0.25));
  EXPECT_EQ(reader_.kernel_count(), 1u);
  ASSERT_TRUE(reader_.Kernel(0, &stamp_, &kernel_));
  EXPECT_EQ(kernel_.error_max, 0.25);
}

TEST_F(KernelSlots, OneBeyondTheLastSlotIsNotWritten) {
  for (uint32_t n = 0; n < kMaxKernels + 3; ++n) {
    PutKernel(shared_.get(), n, Entry(n));
  }
  EXPECT_EQ(reader_.kernel_count(), kMaxKernels);
  ASSERT_TRUE(reader_.Kernel(kMaxKernels - 1, &stamp_, &kernel_));
  EXPECT_EQ(kernel_.error_max, kMaxKernels - 1);
}

TEST_F(KernelSlots, OneWhoseWriterDiedInsideIsLeftOut) {
  PutKernel(shared_.get(), 0, Entry(1));
  shared_->control.kernels[0].version.fetch_add(1);
  EXPECT_FALSE(reader_.KernelChanged(0, stamp_));
  EXPECT_FALSE(reader_.Kernel(0, &stamp_, &kernel_));
}

TEST_F(KernelSlots, AreReadWholeWhileTheyAreReplaced) {
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int n = 1; n <= 100000; ++n) PutKernel(shared_.get(), 0, Entry(n));
    done.store(true);
  });
  double newest = 0;
  for (bool last = false; !last;) {
    last = done.load();
    while (reader_.Kernel(0, &stamp_, &kernel_)) {
      EXPECT_EQ(kernel_.stated_max, kernel_.error_rms);
      EXPECT_EQ(kernel_.floor_rms, kernel_.error_rms);
      EXPECT_GT(kernel_.error_rms, newest);
      newest = kernel_.error_rms;
    }
  }
  writer.join();
  EXPECT_EQ(newest, 100000);
}

}  // namespace
}  // namespace invact
