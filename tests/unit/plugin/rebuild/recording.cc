#include "tests/unit/plugin/rebuild/recording.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "plugin/guard.h"
#include "plugin/rebuild/value_table.h"

namespace invact {

namespace {

void Note(bool on) {
  g_rebuilding.store(on);
  g_guest_mode.store(on ? GuestMode::kReady : GuestMode::kOff);
}

// Once in a process.
bool Installed() {
  static const bool installed = [] {
    std::string error;
    const bool done = InstallRebuild("", /*cuda=*/false, &error);
    EXPECT_TRUE(done) << error;
    return done;
  }();
  return installed;
}

}  // namespace

RebuildTest::RebuildTest() {
  EXPECT_TRUE(Installed());
  at::manual_seed(7);
  Note(true);
}
RebuildTest::~RebuildTest() { Note(false); }

Plain::Plain() { Note(false); }
Plain::~Plain() { Note(true); }

Saved::Saved(const at::Tensor& tensor) : packed_(Pack(tensor, false)) {
  if (!packed_.planned) kept_ = tensor;
}
Saved::~Saved() {
  if (packed_.dropped != nullptr) packed_.dropped->End();
  if (packed_.kept.defined()) LetGo(*packed_.kept);
}

ValuePtr ValueOf(const at::Tensor& tensor) {
  Trash trash;
  std::lock_guard lock(RebuildLock());
  return RootValue(tensor, &trash);
}

::testing::AssertionResult SameBits(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes() ||
      a.strides() != b.strides()) {
    return ::testing::AssertionFailure()
           << a.toString() << a.sizes() << a.strides() << " is not "
           << b.toString() << b.sizes() << b.strides();
  }
  const Plain plain;
  const at::Tensor one = a.contiguous(), other = b.contiguous();
  const auto* left = static_cast<const char*>(one.const_data_ptr());
  const auto* right = static_cast<const char*>(other.const_data_ptr());
  const size_t size = one.element_size();
  for (size_t at = 0; at < one.nbytes(); at += size) {
    if (std::memcmp(left + at, right + at, size) != 0) {
      return ::testing::AssertionFailure()
             << "element " << at / size << " differs";
    }
  }
  return ::testing::AssertionSuccess();
}

at::Tensor Numbers(at::IntArrayRef sizes, at::ScalarType dtype) {
  const Plain plain;
  const at::Tensor numbers = at::randn(sizes) * 3;
  const at::Tensor flat = numbers.view(-1);
  const float infinity = std::numeric_limits<float>::infinity();
  int64_t place = 0;
  for (const float special :
       {0.0F, -0.0F, 1.0F, -1.0F, infinity, -infinity, std::nanf(""), 1e-40F,
        -1e-40F, 1e-6F, 6e4F, -7e4F, 88.0F, -88.0F, 3e38F}) {
    flat[place++] = special;
  }
  return numbers.to(dtype);
}

}  // namespace invact
