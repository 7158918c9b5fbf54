#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sampling/sampling_params.h"

namespace moe {

// Changes the logits before temperature and filters: repetition penalty,
// presence and frequency penalties, logit bias, then allowed, banned and masked
// ids. One thread at a time.
class LogitProcessors {
 public:
  explicit LogitProcessors(int64_t vocab_size);

  // True if Apply would change nothing.
  static bool IsNeutral(const SamplingParams& params,
                        absl::Span<const int32_t> masked_ids);

  // Changes `scores` [vocab] in place; masked tokens become -inf. `masked_ids`
  // are banned for this token only.
  void Apply(const SamplingParams& params, absl::Span<const int32_t> prompt,
             absl::Span<const int32_t> answer,
             absl::Span<const int32_t> masked_ids, absl::Span<float> scores);

 private:
  void ApplyPenalties(const SamplingParams& params,
                      absl::Span<const int32_t> prompt,
                      absl::Span<const int32_t> answer,
                      absl::Span<float> scores);

  // [vocab], all 0 between calls: occurrences in the answer, or -1 for a token
  // that occurs in the prompt alone.
  std::vector<int32_t> occurrences_;
};

}  // namespace moe
