#include "plugin/fuse/compiled_files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace invact::fuse {
namespace {

class CompiledFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/invact_fused_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string Folder() const { return root_ + "/state/fused"; }
  std::filesystem::path OnlyFile() const {
    return std::filesystem::directory_iterator(Folder())->path();
  }

  std::string root_;
  const std::string code_ = std::string("\0code\xff", 6);
};

TEST_F(CompiledFilesTest, AnotherProcessReadsWhatWasKept) {
  CompiledFiles(Folder()).Write("key", code_);

  EXPECT_EQ(CompiledFiles(Folder()).Read("key"), code_);
  EXPECT_EQ(CompiledFiles(Folder()).Read("other"), "");
}

TEST_F(CompiledFilesTest, ADamagedOrShortFileReadsAsNotThere) {
  const CompiledFiles files(Folder());
  files.Write("key", code_);
  const auto size = std::filesystem::file_size(OnlyFile());
  for (uintmax_t at = 0; at < size; ++at) {
    files.Write("key", code_);
    ASSERT_EQ(files.Read("key"), code_);
    std::fstream file(OnlyFile(),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 1));
    file.close();
    EXPECT_EQ(files.Read("key"), "") << "byte " << at;
  }
  for (uintmax_t length = 0; length < size; ++length) {
    files.Write("key", code_);
    std::filesystem::resize_file(OnlyFile(), length);
    EXPECT_EQ(files.Read("key"), "") << "length " << length;
  }
}

TEST_F(CompiledFilesTest, AFolderOpenToOthersKeepsNothing) {
  std::filesystem::create_directories(Folder());
  ASSERT_EQ(chmod(Folder().c_str(), 0777), 0);

  CompiledFiles(Folder()).Write("key", code_);

  EXPECT_TRUE(std::filesystem::is_empty(Folder()));
  EXPECT_EQ(CompiledFiles(Folder()).Read("key"), "");
}

TEST_F(CompiledFilesTest, WithoutAFolderNothingIsKept) {
  const CompiledFiles files("");
  files.Write("key", code_);

  EXPECT_EQ(files.Read("key"), "");
}

}  // namespace
}  // namespace invact::fuse
