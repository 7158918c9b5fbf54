#include "engine/cache/block_manager.h"

#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

TEST(BlockManagerTest, ReserveGivesEachSequenceItsOwnBlocks) {
  BlockManager blocks(8, 4);
  ASSERT_TRUE(blocks.Reserve(1, 9).ok());
  ASSERT_TRUE(blocks.Reserve(2, 4).ok());
  EXPECT_EQ(blocks.Table(1).size(), 3u);
  EXPECT_EQ(blocks.Table(2).size(), 1u);
  std::set<int32_t> distinct(blocks.Table(1).begin(), blocks.Table(1).end());
  distinct.insert(blocks.Table(2).begin(), blocks.Table(2).end());
  EXPECT_EQ(distinct.size(), 4u);
  EXPECT_GE(*distinct.begin(), 0);
  EXPECT_LT(*distinct.rbegin(), 8);
  EXPECT_EQ(blocks.num_free(), 4);
}

TEST(BlockManagerTest, ReserveGrowsATableAndKeepsItsHead) {
  BlockManager blocks(8, 4);
  ASSERT_TRUE(blocks.Reserve(1, 3).ok());
  const int32_t first = blocks.Table(1)[0];
  ASSERT_TRUE(blocks.Reserve(1, 4).ok());
  EXPECT_EQ(blocks.Table(1).size(), 1u);
  ASSERT_TRUE(blocks.Reserve(1, 5).ok());
  EXPECT_EQ(blocks.Table(1).size(), 2u);
  EXPECT_EQ(blocks.Table(1)[0], first);
  ASSERT_TRUE(blocks.Reserve(1, 2).ok());  // never shrinks
  EXPECT_EQ(blocks.Table(1).size(), 2u);
}

TEST(BlockManagerTest, ReserveFailsAndChangesNothingWhenPoolIsShort) {
  BlockManager blocks(3, 4);
  ASSERT_TRUE(blocks.Reserve(1, 5).ok());
  const absl::Status status = blocks.Reserve(2, 5);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("needs 2 more blocks for 5 tokens; 1 of 3 are free"));
  EXPECT_TRUE(blocks.Table(2).empty());
  EXPECT_EQ(blocks.num_free(), 1);
}

TEST(BlockManagerTest, SharedBlocksAreFreeWhenTheLastHolderLetsGo) {
  BlockManager blocks(8, 4);
  ASSERT_TRUE(blocks.Reserve(1, 12).ok());
  blocks.Share(1, 2, 2);
  ASSERT_TRUE(blocks.Reserve(2, 12).ok());
  EXPECT_EQ(blocks.Table(2)[0], blocks.Table(1)[0]);
  EXPECT_EQ(blocks.Table(2)[1], blocks.Table(1)[1]);
  EXPECT_NE(blocks.Table(2)[2], blocks.Table(1)[2]);
  const int32_t shared = blocks.Table(1)[0];
  EXPECT_EQ(blocks.reference_count(shared), 2);
  EXPECT_EQ(blocks.num_free(), 4);
  blocks.Release(1);
  EXPECT_EQ(blocks.reference_count(shared), 1);
  EXPECT_EQ(blocks.num_free(), 5);
  blocks.Release(2);
  EXPECT_EQ(blocks.reference_count(shared), 0);
  EXPECT_EQ(blocks.num_free(), 8);
}

TEST(BlockManagerTest, SharingNothingAndReleasingNothingAreFine) {
  BlockManager blocks(2, 4);
  blocks.Share(1, 2, 0);
  blocks.Release(2);
  blocks.Release(77);
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_EQ(blocks.BlocksFor(0), 0);
  EXPECT_EQ(blocks.BlocksFor(4), 1);
  EXPECT_EQ(blocks.BlocksFor(5), 2);
}

}  // namespace
}  // namespace moe
