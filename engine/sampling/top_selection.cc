#include "engine/sampling/top_selection.h"

#include <algorithm>
#include <limits>

namespace moe {

void SelectTop(absl::Span<const float> scores, int64_t count,
               std::vector<ScoredToken>* top) {
  top->clear();
  count = std::min<int64_t>(count, scores.size());
  if (count <= 0) return;
  // Twice the capacity, so that the cost of each truncation is amortized.
  const size_t capacity = static_cast<size_t>(2 * count + 64);
  // Later tokens of equal score rank lower, so only a larger score is added.
  float threshold = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < scores.size(); ++i) {
    if (!(scores[i] > threshold)) continue;
    top->push_back({static_cast<int32_t>(i), scores[i]});
    if (top->size() < capacity) continue;
    std::nth_element(top->begin(), top->begin() + (count - 1), top->end(),
                     RanksBefore);
    top->resize(count);
    threshold = top->back().score;
  }
  if (static_cast<int64_t>(top->size()) > count) {
    std::nth_element(top->begin(), top->begin() + (count - 1), top->end(),
                     RanksBefore);
    top->resize(count);
  }
  std::sort(top->begin(), top->end(), RanksBefore);
}

void LazyRanking::RankAtLeast(int64_t count) {
  constexpr int64_t kFirstPiece = 128;
  const int64_t size = static_cast<int64_t>(tokens_.size());
  while (num_ranked_ < count) {
    const int64_t end = std::min(size, std::max(kFirstPiece, 4 * num_ranked_));
    const auto first = tokens_.begin() + num_ranked_;
    const auto last = tokens_.begin() + end;
    if (end < size) {
      std::nth_element(first, last - 1, tokens_.end(), RanksBefore);
    }
    std::sort(first, last, RanksBefore);
    num_ranked_ = end;
  }
}

}  // namespace moe
