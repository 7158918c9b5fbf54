#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/sampling/candidate_filter.h"
#include "engine/sampling/logit_processors.h"
#include "engine/sampling/sampling_params.h"

namespace moe {

// The inputs of the choice of one token. Borrowed.
struct SampleRow {
  absl::Span<const float> logits;  // [vocab]
  absl::Span<const int32_t> prompt;
  absl::Span<const int32_t> answer;  // tokens chosen so far
  // Masked for this token (stop ids before min_new_tokens).
  absl::Span<const int32_t> masked_ids;
  int32_t answer_index = 0;
};

// Samples tokens. A sample is a pure function of the SampleRow and the params:
// it has the same bits in any batch, on any thread, and after a preemption. Has
// scratch memory: use one sampler per thread.
class Sampler {
 public:
  explicit Sampler(int64_t vocab_size);

  // kInternal for logits that are not finite, kInvalidArgument if the allowed,
  // banned and masked ids leave no token.
  absl::StatusOr<SampledToken> Sample(const SamplingParams& params,
                                      const SampleRow& row);

  // The log-probability of a given token, its rank, and the `num_top` most
  // likely tokens. kInternal for logits that are not finite.
  absl::StatusOr<SampledToken> Score(absl::Span<const float> logits,
                                     int32_t token_id, int32_t num_top);

  // The distribution that Sample draws from, for tests: tokens that can be
  // chosen and their probabilities. Greedy: the one token.
  absl::StatusOr<std::vector<ScoredToken>> Distribution(
      const SamplingParams& params, const SampleRow& row);

 private:
  absl::StatusOr<absl::Span<const float>> Process(const SamplingParams& params,
                                                  const SampleRow& row);
  void FillLogprobs(absl::Span<const float> logits, int32_t num_top,
                    SampledToken* token);

  std::vector<float> scores_;   // [vocab]
  std::vector<float> weights_;  // [vocab]
  std::vector<double> block_sums_;
  LogitProcessors processors_;
  CandidateFilter filter_;
};

}  // namespace moe
