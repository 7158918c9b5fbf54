#include "engine/moe/expert_load.h"

#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

ExpertLoad SomeLoad(int64_t scale) {
  ExpertLoad load;
  load.layers.resize(2);
  load.layers[0].layer = 1;
  load.layers[0].num_experts = 2;
  load.layers[0].rows_by_expert = {3 * scale, 1 * scale};
  load.layers[0].computed_slots = 4 * scale;
  load.layers[1].layer = 3;
  load.layers[1].first_expert = 1;
  load.layers[1].num_experts = 2;
  load.layers[1].rows_by_expert = {0, 2 * scale, 4 * scale};
  load.layers[1].computed_slots = 6 * scale;
  load.layers[1].exchanges = {5, 6, 7, 8};
  load.layers[1].messages = 9;
  load.layers[1].bytes = int64_t{10} << 40;
  load.layers[1].waited = absl::Microseconds(11);
  load.layers[1].hidden = absl::Hours(12);
  return load;
}

TEST(ExpertLoadTest, WordsHoldAllOfIt) {
  const ExpertLoad load = SomeLoad(1);
  const auto back = ExpertLoad::FromWords(load.ToWords());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->ToWords(), load.ToWords());
  EXPECT_EQ(back->layers[1].rows_by_expert, load.layers[1].rows_by_expert);
  EXPECT_EQ(back->layers[1].exchanges, load.layers[1].exchanges);
  EXPECT_EQ(back->layers[1].bytes, int64_t{10} << 40);
  EXPECT_EQ(back->waited(), absl::Microseconds(11));
  EXPECT_EQ(back->hidden(), absl::Hours(12));
  EXPECT_TRUE(ExpertLoad::FromWords(ExpertLoad().ToWords()).ok());
}

TEST(ExpertLoadTest, DamagedWordsAreRefused) {
  const std::vector<int64_t> words = SomeLoad(1).ToWords();
  for (size_t size = 0; size < words.size(); ++size) {
    EXPECT_FALSE(
        ExpertLoad::FromWords(absl::MakeConstSpan(words.data(), size)).ok())
        << size;
  }
  for (size_t i = 0; i < words.size(); ++i) {
    for (const int64_t bad : {int64_t{-1}, int64_t{1} << 62}) {
      std::vector<int64_t> damaged = words;
      damaged[i] = bad;
      ExpertLoad::FromWords(damaged).IgnoreError();  // must come back
    }
  }
  std::vector<int64_t> longer = words;
  longer.push_back(0);
  EXPECT_FALSE(ExpertLoad::FromWords(longer).ok());
}

TEST(ExpertLoadTest, RowsOfATensorGroupCountOnce) {
  // Two tensor groups of two ranks.
  const std::vector<ExpertLoad> ranks = {SomeLoad(1), SomeLoad(1), SomeLoad(10),
                                         SomeLoad(10)};
  const auto summaries = SummarizeExpertLoad(ranks, 2);
  ASSERT_TRUE(summaries.ok()) << summaries.status();
  ASSERT_EQ(summaries->size(), 2u);
  const MoeLayerLoadSummary& first = (*summaries)[0];
  EXPECT_EQ(first.layer, 1);
  EXPECT_EQ(first.rows_by_expert, (std::vector<int64_t>{33, 11}));
  EXPECT_EQ(first.slots_by_rank, (std::vector<int64_t>{4, 4, 40, 40}));
  EXPECT_DOUBLE_EQ(first.expert_imbalance, 33 / 22.0);
  EXPECT_DOUBLE_EQ(first.rank_imbalance, 40 / 22.0);
}

TEST(ExpertLoadTest, BeforeTheFirstStepNothingIsUneven) {
  const auto summaries = SummarizeExpertLoad({SomeLoad(0)}, 1);
  ASSERT_TRUE(summaries.ok());
  EXPECT_EQ((*summaries)[0].expert_imbalance, 0);
}

TEST(ExpertLoadTest, RanksOfDifferentModelsAreRefused) {
  ExpertLoad other = SomeLoad(1);
  other.layers.pop_back();
  EXPECT_FALSE(SummarizeExpertLoad({SomeLoad(1), other}, 1).ok());
  other = SomeLoad(1);
  other.layers[0].rows_by_expert.push_back(0);
  EXPECT_EQ(SummarizeExpertLoad({SomeLoad(1), other}, 1).status().message(),
            "expert load: rank 1 has 3 experts in layer 1, rank 0 has 2 in "
            "layer 1");
}

}  // namespace
}  // namespace moe
