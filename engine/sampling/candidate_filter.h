#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sampling/sampling_params.h"
#include "engine/sampling/top_selection.h"

namespace moe {

// Selects the tokens that may be drawn and computes their weights from the
// scores: temperature, top_k, top_p of the tokens that top_k kept, min_p, in
// the order of Hugging Face's generate(). top_k keeps exactly k tokens (ties:
// lowest ids); top_p keeps the shortest prefix of the ranking whose probability
// reaches top_p. One thread at a time.
class CandidateFilter {
 public:
  explicit CandidateFilter(int64_t vocab_size);

  // `scores` [vocab] finite or -inf, with at least one finite;
  // params.temperature > 0.
  void Filter(const SamplingParams& params, absl::Span<const float> scores);

  // Draws with `uniform` in [0, 1): the first candidate at which the running
  // sum of weights exceeds uniform * total. After Filter.
  int32_t Draw(double uniform) const;

  // The candidates and their probabilities, for tests. Call it after Filter.
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
  // If false, all tokens are candidates, and weights_ and block_sums_ are
  // valid.
  bool filtered_ = false;
  // The score is the weight.
  std::vector<ScoredToken> candidates_;
};

}  // namespace moe
