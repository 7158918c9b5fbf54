#include "engine/sampling/logit_processors.h"

#include <algorithm>
#include <limits>

namespace moe {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

bool HasPenalties(const SamplingParams& params) {
  return params.repetition_penalty != 1.0f || params.presence_penalty != 0.0f ||
         params.frequency_penalty != 0.0f;
}

// Penalties scale with the caller's numbers: keep the result finite.
float Clamp(float score) {
  constexpr float kLargest = std::numeric_limits<float>::max();
  return std::clamp(score, -kLargest, kLargest);
}

}  // namespace

LogitProcessors::LogitProcessors(int64_t vocab_size)
    : occurrences_(vocab_size, 0) {}

bool LogitProcessors::IsNeutral(const SamplingParams& params,
                                absl::Span<const int32_t> masked_ids) {
  return !HasPenalties(params) && params.logit_bias.empty() &&
         params.allowed_token_ids.empty() && params.banned_token_ids.empty() &&
         masked_ids.empty();
}

void LogitProcessors::Apply(const SamplingParams& params,
                            absl::Span<const int32_t> prompt,
                            absl::Span<const int32_t> answer,
                            absl::Span<const int32_t> masked_ids,
                            absl::Span<float> scores) {
  if (HasPenalties(params)) ApplyPenalties(params, prompt, answer, scores);
  for (const auto& [id, bias] : params.logit_bias) {
    scores[id] = Clamp(scores[id] + bias);
  }
  if (!params.allowed_token_ids.empty()) {
    std::vector<std::pair<int32_t, float>> kept;
    kept.reserve(params.allowed_token_ids.size());
    for (int32_t id : params.allowed_token_ids) {
      kept.emplace_back(id, scores[id]);
    }
    std::fill(scores.begin(), scores.end(), kNever);
    for (const auto& [id, score] : kept) scores[id] = score;
  }
  for (int32_t id : params.banned_token_ids) scores[id] = kNever;
  for (int32_t id : masked_ids) scores[id] = kNever;
}

void LogitProcessors::ApplyPenalties(const SamplingParams& params,
                                     absl::Span<const int32_t> prompt,
                                     absl::Span<const int32_t> answer,
                                     absl::Span<float> scores) {
  for (int32_t id : answer) ++occurrences_[id];
  for (int32_t id : prompt) {
    if (occurrences_[id] == 0) occurrences_[id] = -1;
  }
  // Process each distinct token once: reset its count to 0 afterwards.
  for (absl::Span<const int32_t> tokens : {prompt, answer}) {
    for (int32_t id : tokens) {
      const int32_t count = occurrences_[id];
      if (count == 0) continue;
      occurrences_[id] = 0;
      float score = scores[id];
      score = score < 0.0f ? score * params.repetition_penalty
                           : score / params.repetition_penalty;
      if (count > 0) {
        score -= params.frequency_penalty * static_cast<float>(count);
        score -= params.presence_penalty;
      }
      scores[id] = Clamp(score);
    }
  }
}

}  // namespace moe
