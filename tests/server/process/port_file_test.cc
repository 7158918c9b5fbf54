#include "server/process/port_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"

namespace moe {
namespace {

class PortFileTest : public testing::Test {
 protected:
  PortFileTest() { std::filesystem::remove(path_); }

  const std::string path_ = testing::TempDir() + "/port_file_test_port";
};

TEST_F(PortFileTest, IsThereOnlyWhileTheServerIsReady) {
  std::ofstream(path_) << "1\n";
  EXPECT_TRUE(CheckPortFile(path_).ok());
  EXPECT_TRUE(std::filesystem::exists(path_));  // of a running server
  EXPECT_TRUE(PreparePortFile(path_).ok());
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(PreparePortFile(path_).ok());
  EXPECT_TRUE(WritePortFile(path_, 4711).ok());
  int port = 0;
  std::ifstream(path_) >> port;
  EXPECT_EQ(port, 4711);
  RemovePortFile(path_, 4711);
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PortFileTest, ThatOfAnotherServerStays) {
  ASSERT_TRUE(WritePortFile(path_, 4712).ok());
  RemovePortFile(path_, 4711);
  EXPECT_TRUE(std::filesystem::exists(path_));
}

TEST_F(PortFileTest, WhatCannotBeWrittenIsToldBefore) {
  for (const auto& [path, what] :
       {std::pair(testing::TempDir(), "is a directory"),
        std::pair(testing::TempDir() + "/none/port",
                  "is in a directory that does not exist")}) {
    for (const absl::Status& status :
         {CheckPortFile(path), PreparePortFile(path)}) {
      EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
      EXPECT_TRUE(absl::StrContains(status.message(), "server.port_file"));
      EXPECT_TRUE(absl::StrContains(status.message(), what)) << status;
    }
  }
}

TEST_F(PortFileTest, NoneIsFine) {
  EXPECT_TRUE(CheckPortFile("").ok());
  EXPECT_TRUE(PreparePortFile("").ok());
  EXPECT_TRUE(WritePortFile("", 1).ok());
  RemovePortFile("", 1);
}

}  // namespace
}  // namespace moe
