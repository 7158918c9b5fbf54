#include "engine/sampling/top_selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace moe {
namespace {

// Few distinct values, so that ties are the rule.
std::vector<float> TiedScores(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> scores(count);
  for (float& score : scores) {
    score = static_cast<float>(random() % 50);
    if (random() % 10 == 0) score = -std::numeric_limits<float>::infinity();
  }
  return scores;
}

std::vector<ScoredToken> SortedAll(const std::vector<float>& scores) {
  std::vector<ScoredToken> all;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isfinite(scores[i])) {
      all.push_back({static_cast<int32_t>(i), scores[i]});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const ScoredToken& a, const ScoredToken& b) {
                     return a.score > b.score;
                   });
  return all;
}

class TopSelectionTest : public testing::TestWithParam<int64_t> {};

TEST_P(TopSelectionTest, SelectTopIsTheHeadOfAFullSort) {
  const std::vector<float> scores = TiedScores(GetParam(), 3);
  const std::vector<ScoredToken> sorted = SortedAll(scores);
  for (int64_t count : {int64_t{0}, int64_t{1}, int64_t{2}, int64_t{40},
                        GetParam() / 2, GetParam(), GetParam() + 5}) {
    std::vector<ScoredToken> top;
    SelectTop(scores, count, &top);
    ASSERT_EQ(top.size(),
              std::min<size_t>(sorted.size(), static_cast<size_t>(count)));
    for (size_t i = 0; i < top.size(); ++i) {
      ASSERT_EQ(top[i].token_id, sorted[i].token_id) << count << " " << i;
    }
  }
}

TEST_P(TopSelectionTest, LazyRankingIsAFullSort) {
  const std::vector<float> scores = TiedScores(GetParam(), 4);
  const std::vector<ScoredToken> sorted = SortedAll(scores);
  std::vector<ScoredToken> tokens = sorted;
  std::shuffle(tokens.begin(), tokens.end(), std::mt19937(1));
  LazyRanking ranking(&tokens);
  for (size_t i = 0; i < sorted.size(); ++i) {
    ASSERT_EQ(ranking.at(i).token_id, sorted[i].token_id) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, TopSelectionTest,
                         testing::Values(1, 2, 100, 129, 1000, 20011));

}  // namespace
}  // namespace moe
