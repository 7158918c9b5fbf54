// Tests the flags of the program.

#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "gtest/gtest.h"

namespace moe {
namespace {

struct Result {
  int exit_status = -1;
  std::string output;  // both streams
};

Result MakeRandom(const std::string& flags) {
  Result result;
  const std::string command =
      "tools/checkpoint/checkpoint make_random --out=" + testing::TempDir() +
      "/made " + flags + " 2>&1";
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  size_t size;
  while ((size = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    result.output.append(buffer, size);
  }
  result.exit_status = WEXITSTATUS(pclose(pipe));
  return result;
}

TEST(MakeRandomTest, SizesThatNoModelHasAreRefused) {
  for (const char* name : {"layers", "hidden", "heads", "kv_heads", "ffn",
                           "top_k", "vocab", "positions"}) {
    for (const char* value : {"0", "-1", "9000000000000000000"}) {
      const Result result =
          MakeRandom(std::string("--experts=2 --") + name + "=" + value);
      EXPECT_EQ(result.exit_status, 1);
      EXPECT_EQ(result.output, std::string("--") + name + " is " + value +
                                   ", must be in [1, 268435456]\n");
    }
  }
}

TEST(MakeRandomTest, WhatIsNotSaidIsThePresets) {
  const Result result = MakeRandom("--preset=tiny_prmoe");
  EXPECT_EQ(result.exit_status, 0) << result.output;
  EXPECT_NE(result.output.find("done"), std::string::npos) << result.output;
}

}  // namespace
}  // namespace moe
