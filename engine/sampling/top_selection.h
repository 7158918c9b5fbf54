#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace moe {

struct ScoredToken {
  int32_t token_id = 0;
  float score = 0.0f;
};

// The order of all rankings: by descending score, ties by ascending id.
inline bool RanksBefore(const ScoredToken& a, const ScoredToken& b) {
  return a.score > b.score || (a.score == b.score && a.token_id < b.token_id);
}

// The `count` best tokens of a vocabulary in ranking order, or fewer if fewer
// have a score above -inf. One pass that compares most tokens only with the
// worst one kept: about linear in the vocabulary for a small count.
void SelectTop(absl::Span<const float> scores, int64_t count,
               std::vector<ScoredToken>* top);

// Sorts a list incrementally, for callers that may need only its first
// elements.
class LazyRanking {
 public:
  // The list is borrowed and reordered.
  explicit LazyRanking(std::vector<ScoredToken>* tokens) : tokens_(*tokens) {}

  // The token of rank `index` (0-based).
  const ScoredToken& at(int64_t index) {
    if (index >= num_ranked_) RankAtLeast(index + 1);
    return tokens_[index];
  }

 private:
  void RankAtLeast(int64_t count);

  std::vector<ScoredToken>& tokens_;
  int64_t num_ranked_ = 0;
};

}  // namespace moe
