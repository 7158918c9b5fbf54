#include "engine/sampling/sampling_params.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/sampling/token_id_check.h"

namespace moe {
namespace {

absl::Status BadField(absl::string_view field, float value,
                      absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be ", range));
}

absl::Status CheckCount(absl::string_view field, int32_t value,
                        int64_t vocab_size) {
  if (value >= -1 && value <= vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      field, " is ", value, "; it must be in [-1, ", vocab_size, "]"));
}

// True if a token is allowed and not banned.
bool AnyTokenLeft(const SamplingParams& params, int64_t vocab_size) {
  std::vector<int32_t> banned = params.banned_token_ids;
  std::sort(banned.begin(), banned.end());
  banned.erase(std::unique(banned.begin(), banned.end()), banned.end());
  if (params.allowed_token_ids.empty()) {
    return static_cast<int64_t>(banned.size()) < vocab_size;
  }
  return std::any_of(params.allowed_token_ids.begin(),
                     params.allowed_token_ids.end(), [&](int32_t id) {
                       return !std::binary_search(banned.begin(), banned.end(),
                                                  id);
                     });
}

}  // namespace

// The conditions are written so that NaN fails them.
absl::Status SamplingParams::Validate(int64_t vocab_size) const {
  if (!(temperature >= 0.0f && std::isfinite(temperature))) {
    return BadField("temperature", temperature, "finite and at least 0");
  }
  if (top_k < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "top_k is ", top_k, "; it must be at least 0 (0: all tokens)"));
  }
  if (!(top_p > 0.0f && top_p <= 1.0f)) {
    return BadField("top_p", top_p, "in (0, 1]");
  }
  if (!(min_p >= 0.0f && min_p <= 1.0f)) {
    return BadField("min_p", min_p, "in [0, 1]");
  }
  if (!(repetition_penalty > 0.0f && std::isfinite(repetition_penalty))) {
    return BadField("repetition_penalty", repetition_penalty,
                    "finite and above 0");
  }
  if (!(presence_penalty >= -2.0f && presence_penalty <= 2.0f)) {
    return BadField("presence_penalty", presence_penalty, "in [-2, 2]");
  }
  if (!(frequency_penalty >= -2.0f && frequency_penalty <= 2.0f)) {
    return BadField("frequency_penalty", frequency_penalty, "in [-2, 2]");
  }
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat(
          "logit_bias: token id ", id, " is not in [0, ", vocab_size, ")"));
    }
    if (!(bias >= -100.0f && bias <= 100.0f)) {
      return BadField(absl::StrCat("logit_bias of token ", id), bias,
                      "in [-100, 100]");
    }
  }
  for (const auto& [field, ids] :
       {std::pair("allowed_token_ids", &allowed_token_ids),
        std::pair("banned_token_ids", &banned_token_ids)}) {
    absl::Status status = CheckTokenIds(field, *ids, vocab_size);
    if (!status.ok()) return status;
  }
  if (!AnyTokenLeft(*this, vocab_size)) {
    return absl::InvalidArgumentError(
        "banned_token_ids bans every token that could be chosen");
  }
  for (const auto& [field, count] :
       {std::pair("num_logprobs", num_logprobs),
        std::pair("num_prompt_logprobs", num_prompt_logprobs)}) {
    absl::Status status = CheckCount(field, count, vocab_size);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace moe
