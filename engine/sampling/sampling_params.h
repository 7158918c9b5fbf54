#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace moe {

// How tokens are chosen. No value means "default": the defaults of the model or
// server have replaced the request's unset fields.
struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy (ties to the lowest id)
  int64_t top_k = 0;         // 0: all
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1]: of the most likely token's probability
  uint64_t seed = 0;
  float repetition_penalty = 1.0f;  // > 0; prompt and answer tokens
  float presence_penalty = 0.0f;    // [-2, 2]; answer tokens
  float frequency_penalty = 0.0f;   // [-2, 2]; answer tokens
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_token_ids;  // empty: all
  std::vector<int32_t> banned_token_ids;

  // -1: none; 0: the chosen token only; n: the n most likely tokens too.
  int32_t num_logprobs = -1;
  int32_t num_prompt_logprobs = -1;

  // kInvalidArgument that names the field and its range, also for NaN.
  absl::Status Validate(int64_t vocab_size) const;
};

// When an answer ends.
struct StoppingParams {
  int64_t max_new_tokens = 0;  // >= 1
  int64_t min_new_tokens = 0;  // stop ids are not sampled before
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
};

// A token with its log-probability (natural, of the distribution before
// temperature, penalties and filters).
struct TokenLogprob {
  int32_t token_id = 0;
  float logprob = 0.0f;
  int32_t rank = 0;  // 1: the most likely
};

struct SampledToken {
  int32_t token_id = 0;
  // Valid if logprobs were requested.
  TokenLogprob logprob;
  std::vector<TokenLogprob> top;  // by descending logprob, ties by id
};

}  // namespace moe
