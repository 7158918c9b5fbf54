#include "server/grpc/file_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace moe {
namespace {

TEST(FileLimitTest, IsRaisedAsFarAsAllowed) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = 100;
  limit.rlim_max = 200;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(FileLimit(), 100);
  RaiseFileLimit();
  EXPECT_EQ(FileLimit(), 200);
  RaiseFileLimit();
  EXPECT_EQ(FileLimit(), 200);
}

}  // namespace
}  // namespace moe
