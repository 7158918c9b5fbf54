#include "engine/parallel/parallel_layout.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace moe {
namespace {

MoeLayerDegrees Layer(int layer, int experts, int ep, int es,
                      int64_t width = 0) {
  return {layer, experts, ep, es, width};
}

TEST(ParallelLayoutTest, EveryExpertLivesOnOneRankWhateverDivides) {
  for (int experts : {1, 2, 3, 4, 6, 7, 16}) {
    for (int ep : {1, 2, 3, 4, 8}) {
      const ExpertPlacement placement(ep, Layer(0, experts, ep, 1));
      EXPECT_EQ(placement.ExpertsBegin(0), 0);
      EXPECT_EQ(placement.ExpertsBegin(ep), experts);
      int most = 0, least = experts;
      for (int e = 0; e < ep; ++e) {
        most = std::max(most, placement.NumExpertsOn(e));
        least = std::min(least, placement.NumExpertsOn(e));
      }
      EXPECT_LE(most - least, 1);
    }
  }
}

TEST(ParallelLayoutTest, GroupsOfALayerCoverTheWorldOnce) {
  const auto layout = ParallelLayout::Create(12, 1, {Layer(3, 6, 3, 2)});
  ASSERT_TRUE(layout.ok()) << layout.status();
  const ExpertPlacement& p = layout->placement(0);
  EXPECT_EQ(p.expert_data_degree(), 2);
  EXPECT_EQ(p.ExpertGroup(9), (std::vector<int>{7, 9, 11}));
  EXPECT_EQ(p.SliceGroup(9), (std::vector<int>{8, 9}));
  std::set<std::vector<int>> expert_groups;
  for (int r = 0; r < 12; ++r) {
    expert_groups.insert(p.ExpertGroup(r));
    EXPECT_EQ(p.ExpertGroup(r)[p.expert_rank(r)], r);
    EXPECT_EQ(p.SliceGroup(r)[p.slice_rank(r)], r);
  }
  EXPECT_EQ(expert_groups.size(), 4u);
}

TEST(ParallelLayoutTest, APyramidHasItsOwnDegreesInEveryLayer) {
  const auto layout = ParallelLayout::Create(
      8, 2, {Layer(1, 4, 4, 1), Layer(3, 8, 8, 1), Layer(5, 16, 4, 2)});
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->num_moe_layers(), 3);
  EXPECT_EQ(layout->placement(0).expert_data_degree(), 2);
  EXPECT_EQ(layout->placement(1).expert_data_degree(), 1);
  EXPECT_EQ(layout->data_degree(), 4);
  EXPECT_EQ(layout->tensor_rank(5), 1);
  EXPECT_EQ(layout->data_rank(5), 2);
  EXPECT_EQ(layout->ReplicationInExpertGroup(0), 2);
  // The two slices of an expert are the tensor group: no replicas are left.
  EXPECT_EQ(layout->ReplicationInExpertGroup(2), 1);
}

struct BadLayout {
  int world, tensor;
  MoeLayerDegrees layer;
  const char* text;
};

class ParallelLayoutErrorTest : public testing::TestWithParam<BadLayout> {};

TEST_P(ParallelLayoutErrorTest, NamesTheLayerAndTheNumbers) {
  const BadLayout& bad = GetParam();
  const auto layout =
      ParallelLayout::Create(bad.world, bad.tensor, {bad.layer});
  ASSERT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(layout.status().message()).find(bad.text),
            std::string::npos)
      << layout.status();
}

INSTANTIATE_TEST_SUITE_P(
    All, ParallelLayoutErrorTest,
    testing::Values(
        BadLayout{6, 4, Layer(1, 4, 1, 1), "tensor degree 4"},
        BadLayout{0, 1, Layer(1, 4, 1, 1), "0 ranks"},
        BadLayout{8, 1, Layer(5, 16, 4, 4),
                  "layer 5 (16 experts): expert degree 4 x slice degree 4 = 16 "
                  "must divide the world of 8 ranks"},
        BadLayout{6, 1, Layer(2, 4, 4, 1), "layer 2"},
        BadLayout{4, 1, Layer(2, 4, 0, 1), "expert degree 0"},
        BadLayout{6, 1, Layer(2, 4, 2, 3, 1024),
                  "slice degree 3 does not divide the experts' width of 1024"},
        BadLayout{12, 4, Layer(7, 6, 6, 1), "does not fit tensor degree 4"},
        BadLayout{1 << 30, 1, Layer(7, 6, 1 << 30, 1 << 30), "must divide"}));

}  // namespace
}  // namespace moe
