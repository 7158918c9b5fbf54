#include "kernels/core/cpu_features.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

class CpuFeaturesTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(SetIsa("auto").ok()); }
};

TEST_F(CpuFeaturesTest, TheBestIsChosenUnlessSet) {
  ASSERT_FALSE(SupportedIsas().empty());
  EXPECT_EQ(ChosenIsa(), SupportedIsas().front());
}

TEST_F(CpuFeaturesTest, EachSupportedIsaCanBeSetAndUnset) {
  const std::vector<std::string> all = SupportedIsas();
  for (const std::string& isa : all) {
    ASSERT_TRUE(SetIsa(isa).ok()) << isa;
    EXPECT_EQ(ChosenIsa(), isa);
    EXPECT_EQ(SupportedIsas(), all);
  }
  ASSERT_TRUE(SetIsa("auto").ok());
  EXPECT_EQ(ChosenIsa(), all.front());
}

TEST_F(CpuFeaturesTest, UnknownNamesAreRefusedWithTheChoices) {
  for (const char* name : {"", "AVX", "mmx", "unknown"}) {
    const absl::Status status = SetIsa(name);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_TRUE(absl::StrContains(status.ToString(), SupportedIsas().front()))
        << status.ToString();
  }
  EXPECT_EQ(ChosenIsa(), SupportedIsas().front());
}

}  // namespace
}  // namespace moe
