#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/sampling/sampling_params.h"

namespace moe {

enum class FinishReason { kLength, kStop };

// Why and how one of a request's answers ended.
struct SequenceFinish {
  FinishReason reason = FinishReason::kLength;
  std::optional<int32_t> stop_token_id;  // kStop: the token that ended it
};

// One new token of answer `index` of a request's n answers. The token that
// stops an answer is reported too.
struct TokenEvent {
  int32_t index = 0;
  SampledToken token;
  std::optional<SequenceFinish> finish;
};

struct PromptEvent {
  // One per prompt token; the first has no logprob (NaN, rank 0). Empty unless
  // asked.
  std::vector<SampledToken> logprobs;
};

}  // namespace moe
