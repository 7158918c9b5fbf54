#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sampling/sampling_params.h"
#include "engine/sampling/top_selection.h"

namespace moe {

// From scores to the tokens that may be drawn and their weights: temperature,
// then top_k, then top_p of what that left, then min_p, as Hugging Face's
// generate() orders them. top_k keeps exactly k tokens (ties: lowest ids);
// top_p keeps the shortest head of the ranking whose mass reaches top_p.
// One thread at a time.
class CandidateFilter {
 public:
  explicit CandidateFilter(int64_t vocab_size);

  // `scores` [vocab] finite or -inf, with at least one finite;
  // params.temperature > 0.
  void Filter(const SamplingParams& params, absl::Span<const float> scores);

  // Draws with `uniform` in [0, 1): the first candidate at which the running
  // sum of weights exceeds uniform * total. After Filter.
  int32_t Draw(double uniform) const;

  // The candidates and their probabilities, for tests. After Filter.
  std::vector<ScoredToken> Probabilities() const;

 private:
  void KeepTopP(float top_p);
  void KeepMinP(float min_p);
  void SetCandidateWeights(float maximum, float temperature);
  void CollectWeightsAtLeast(double weight);

  // Weight of each token relative to the most likely one. [vocab]
  std::vector<float> weights_;
  std::vector<double> block_sums_;
  double total_ = 0.0;
  // If not, all tokens are candidates, and weights_ and block_sums_ hold.
  bool filtered_ = false;
  // Score: the weight.
  std::vector<ScoredToken> candidates_;
};

}  // namespace moe
