#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/sampling/logit_math.h"
#include "engine/sampling/philox.h"
#include "engine/sampling/top_selection.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

absl::Status CheckFinite(absl::Span<const float> logits) {
  if (AllFinite(logits)) return absl::OkStatus();
  const int64_t index = FirstNonFinite(logits);
  return absl::InternalError(
      absl::StrCat("the model's logits are not finite: logit of token ", index,
                   " is ", logits[index],
                   "; a sum overflowed on the way, as with weights of a "
                   "diverged training (`checkpoint verify` tells their largest "
                   "magnitude) or wrong model.checkpoint options"));
}

}  // namespace

Sampler::Sampler(int64_t vocab_size)
    : scores_(vocab_size),
      weights_(vocab_size),
      processors_(vocab_size),
      filter_(vocab_size) {}

absl::StatusOr<SampledToken> Sampler::Sample(const SamplingParams& params,
                                             const SampleRow& row) {
  ASSIGN_OR_RETURN(absl::Span<const float> scores, Process(params, row));
  SampledToken token;
  if (params.temperature == 0.0f) {
    token.token_id = FindMaximum(scores).index;
  } else {
    filter_.Filter(params, scores);
    token.token_id = filter_.Draw(
        TokenUniform(params.seed, static_cast<uint32_t>(row.answer_index),
                     row.answer.size()));
  }
  if (params.num_logprobs >= 0) {
    FillLogprobs(row.logits, params.num_logprobs, &token);
  }
  return token;
}

absl::StatusOr<SampledToken> Sampler::Score(absl::Span<const float> logits,
                                            int32_t token_id, int32_t num_top) {
  RETURN_IF_ERROR(CheckFinite(logits));
  SampledToken token;
  token.token_id = token_id;
  FillLogprobs(logits, num_top, &token);
  return token;
}

absl::StatusOr<std::vector<ScoredToken>> Sampler::Distribution(
    const SamplingParams& params, const SampleRow& row) {
  ASSIGN_OR_RETURN(absl::Span<const float> scores, Process(params, row));
  if (params.temperature == 0.0f) {
    return std::vector<ScoredToken>{{FindMaximum(scores).index, 1.0f}};
  }
  filter_.Filter(params, scores);
  return filter_.Probabilities();
}

absl::StatusOr<absl::Span<const float>> Sampler::Process(
    const SamplingParams& params, const SampleRow& row) {
  RETURN_IF_ERROR(CheckFinite(row.logits));
  if (LogitProcessors::IsNeutral(params, row.masked_ids)) return row.logits;
  std::copy(row.logits.begin(), row.logits.end(), scores_.begin());
  processors_.Apply(params, row.prompt, row.answer, row.masked_ids,
                    absl::MakeSpan(scores_));
  if (std::isinf(FindMaximum(scores_).value)) {
    return absl::InvalidArgumentError(
        "no token can be chosen: allowed_token_ids, banned_token_ids and the "
        "stop ids that min_new_tokens forbids leave none");
  }
  return absl::Span<const float>(scores_);
}

void Sampler::FillLogprobs(absl::Span<const float> logits, int32_t num_top,
                           SampledToken* token) {
  const float maximum = FindMaximum(logits).value;
  const double log_sum = std::log(ComputeWeights(
      logits, maximum, 1.0f, absl::MakeSpan(weights_), &block_sums_));
  auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - maximum - log_sum);
  };
  const float logit = logits[token->token_id];
  const int64_t before = CountBefore(logits, logit, token->token_id);
  token->logprob = {token->token_id, logprob(logit),
                    static_cast<int32_t>(before + 1)};
  std::vector<ScoredToken> top;
  SelectTop(logits, num_top, &top);
  for (const ScoredToken& entry : top) {
    token->top.push_back({entry.token_id, logprob(entry.score),
                          static_cast<int32_t>(token->top.size() + 1)});
  }
}

}  // namespace moe
