#include "engine/sampling/candidate_filter.h"

#include <algorithm>

#include "engine/sampling/logit_math.h"

namespace moe {

CandidateFilter::CandidateFilter(int64_t vocab_size) : weights_(vocab_size) {}

void CandidateFilter::Filter(const SamplingParams& params,
                             absl::Span<const float> scores) {
  const int64_t vocab_size = static_cast<int64_t>(scores.size());
  const bool has_top_k = params.top_k > 0 && params.top_k < vocab_size;
  filtered_ = has_top_k || params.top_p < 1.0f || params.min_p > 0.0f;
  if (has_top_k) {
    // Selects by score, which temperature does not reorder.
    SelectTop(scores, params.top_k, &candidates_);
    SetCandidateWeights(candidates_.front().score, params.temperature);
    if (params.top_p < 1.0f) KeepTopP(params.top_p);
    if (params.min_p > 0.0f) KeepMinP(params.min_p);
  } else {
    total_ =
        ComputeWeights(scores, FindMaximum(scores).value, params.temperature,
                       absl::MakeSpan(weights_), &block_sums_);
    if (!filtered_) return;
    if (params.top_p < 1.0f) {
      // The tokens below this weight have less than 1 - top_p together, so
      // top_p keeps none of them.
      CollectWeightsAtLeast((1.0 - static_cast<double>(params.top_p)) * total_ /
                            static_cast<double>(vocab_size) * (1.0 - 1e-9));
      KeepTopP(params.top_p);
      if (params.min_p > 0.0f) KeepMinP(params.min_p);
    } else {
      CollectWeightsAtLeast(params.min_p);
    }
  }
  total_ = 0.0;
  for (const ScoredToken& candidate : candidates_) total_ += candidate.score;
}

void CandidateFilter::SetCandidateWeights(float maximum, float temperature) {
  total_ = 0.0;
  for (ScoredToken& candidate : candidates_) {
    candidate.score = ExpNonPositive((candidate.score - maximum) / temperature);
    total_ += candidate.score;
  }
}

void CandidateFilter::CollectWeightsAtLeast(double weight) {
  candidates_.clear();
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] >= weight && weights_[i] > 0.0f) {
      candidates_.push_back({static_cast<int32_t>(i), weights_[i]});
    }
  }
}

void CandidateFilter::KeepTopP(float top_p) {
  // total_ is the sum over all tokens that top_k kept, collected or not.
  const double mass = static_cast<double>(top_p) * total_;
  LazyRanking ranking(&candidates_);
  int64_t kept = 0;
  double sum = 0.0;
  while (kept < static_cast<int64_t>(candidates_.size()) && sum < mass) {
    sum += ranking.at(kept).score;
    ++kept;
  }
  candidates_.resize(std::max<int64_t>(kept, 1));
}

void CandidateFilter::KeepMinP(float min_p) {
  // In ranking order here: the most likely token, whose weight is 1, is first.
  const auto end = std::find_if(
      candidates_.begin(), candidates_.end(),
      [&](const ScoredToken& candidate) { return candidate.score < min_p; });
  candidates_.erase(end, candidates_.end());
}

int32_t CandidateFilter::Draw(double uniform) const {
  const double target = uniform * total_;
  double sum = 0.0;
  if (filtered_) {
    for (const ScoredToken& candidate : candidates_) {
      sum += candidate.score;
      if (sum > target) return candidate.token_id;
    }
    return candidates_.front().token_id;  // rounding raised target to the total
  }
  // Find the block, then the token in it. If rounding leads past the last token
  // of the block, take the last one with a weight above 0.
  size_t block = 0;
  while (block + 1 < block_sums_.size() && sum + block_sums_[block] <= target) {
    sum += block_sums_[block++];
  }
  const int64_t begin = static_cast<int64_t>(block) * kWeightBlock;
  const int64_t end = std::min<int64_t>(begin + kWeightBlock, weights_.size());
  int64_t last = -1;
  for (int64_t i = begin; i < end; ++i) {
    if (weights_[i] == 0.0f) continue;
    last = i;
    sum += weights_[i];
    if (sum > target) return static_cast<int32_t>(i);
  }
  if (last >= 0) return static_cast<int32_t>(last);
  // Only rounding at the end can lead to a block without weight.
  const auto heaviest = std::max_element(weights_.begin(), weights_.end());
  return static_cast<int32_t>(heaviest - weights_.begin());
}

std::vector<ScoredToken> CandidateFilter::Probabilities() const {
  std::vector<ScoredToken> tokens = candidates_;
  if (!filtered_) {
    tokens.clear();
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (weights_[i] > 0.0f) {
        tokens.push_back({static_cast<int32_t>(i), weights_[i]});
      }
    }
  }
  for (ScoredToken& token : tokens) {
    token.score = static_cast<float>(token.score / total_);
  }
  return tokens;
}

}  // namespace moe
