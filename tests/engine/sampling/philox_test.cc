#include "engine/sampling/philox.h"

#include <set>

#include "gtest/gtest.h"

namespace moe {
namespace {

using Block = std::array<uint32_t, 4>;

// The known answers published with Random123.
TEST(PhiloxTest, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                       {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                       {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(PhiloxTest, UniformDependsOnAllItsArgumentsAndFillsTheInterval) {
  const double base = TokenUniform(1, 2, 3);
  EXPECT_EQ(base, TokenUniform(1, 2, 3));
  EXPECT_NE(base, TokenUniform(2, 2, 3));
  EXPECT_NE(base, TokenUniform(1, 3, 3));
  EXPECT_NE(base, TokenUniform(1, 2, 4));
  EXPECT_NE(base, TokenUniform((uint64_t{1} << 32) + 1, 2, 3));
  EXPECT_NE(base, TokenUniform(1, 2, (uint64_t{1} << 32) + 3));
  double sum = 0.0;
  std::set<int> tenths;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const double u = TokenUniform(42, 0, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    tenths.insert(static_cast<int>(u * 10));
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.01);
  EXPECT_EQ(tenths.size(), 10u);
}

}  // namespace
}  // namespace moe
