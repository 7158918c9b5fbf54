#include "engine/runtime/request_validation.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/sampling/token_id_check.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// More answers to one prompt are taken for a mistake.
constexpr int32_t kMaxAnswers = 1024;

absl::Status CheckAtLeast(absl::string_view field, int64_t value,
                          int64_t least) {
  if (value >= least) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, "; it must be at least ", least));
}

absl::Status CheckLengths(const Request& request, const ModelConfig& model) {
  const int64_t prompt_size = static_cast<int64_t>(request.prompt.size());
  const StoppingParams& stopping = request.stopping;
  const std::vector<LengthError> errors =
      FindLengthErrors(prompt_size, stopping, model.max_positions);
  if (errors.empty()) return absl::OkStatus();
  switch (errors[0]) {
    case LengthError::kPromptEmpty:
      return absl::InvalidArgumentError("prompt is empty; it needs a token");
    case LengthError::kPromptTooLong:
      return absl::InvalidArgumentError(absl::StrCat(
          "prompt has ", prompt_size, " tokens; the model's context of ",
          model.max_positions, " tokens must hold it and an answer"));
    case LengthError::kMaxNewTokensBelowOne:
      return CheckAtLeast("max_new_tokens", stopping.max_new_tokens, 1);
    case LengthError::kMaxNewTokensTooLarge:
      return absl::InvalidArgumentError(absl::StrCat(
          "max_new_tokens is ", stopping.max_new_tokens, "; after a prompt of ",
          prompt_size, " tokens the model's context of ", model.max_positions,
          " has room for ", model.max_positions - prompt_size));
    case LengthError::kMinNewTokensNegative:
      return CheckAtLeast("min_new_tokens", stopping.min_new_tokens, 0);
    case LengthError::kMinNewTokensAboveMax:
      break;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("min_new_tokens is ", stopping.min_new_tokens,
                   ", above max_new_tokens ", stopping.max_new_tokens));
}

absl::Status CheckSelectableToken(const Request& request,
                                  const ModelConfig& model,
                                  absl::Span<const int32_t> eos_token_ids) {
  const SamplingParams& sampling = request.sampling;
  const StoppingParams& stopping = request.stopping;
  if (HasSelectableToken(sampling, stopping, model.vocab_size, eos_token_ids)) {
    return absl::OkStatus();
  }
  const std::vector<int32_t>& allowed = sampling.allowed_token_ids;
  return absl::InvalidArgumentError(absl::StrCat(
      "no token can be chosen: of ",
      allowed.empty()
          ? "the vocabulary"
          : absl::StrCat("the ", allowed.size(), " allowed_token_ids"),
      ", banned_token_ids",
      stopping.min_new_tokens > 0
          ? absl::StrCat(" and the stop tokens, which min_new_tokens ",
                         stopping.min_new_tokens, " forbids at first,")
          : "",
      " leave none"));
}

}  // namespace

std::vector<LengthError> FindLengthErrors(int64_t prompt_tokens,
                                          const StoppingParams& stopping,
                                          int64_t max_sequence_tokens) {
  if (prompt_tokens >= max_sequence_tokens) {
    return {LengthError::kPromptTooLong};
  }
  std::vector<LengthError> errors;
  if (prompt_tokens == 0) errors.push_back(LengthError::kPromptEmpty);
  const int64_t room = max_sequence_tokens - prompt_tokens;
  int64_t most = stopping.max_new_tokens;
  if (most < 1) errors.push_back(LengthError::kMaxNewTokensBelowOne);
  if (most > room) errors.push_back(LengthError::kMaxNewTokensTooLarge);
  if (most < 1 || most > room) most = room;
  if (stopping.min_new_tokens < 0) {
    errors.push_back(LengthError::kMinNewTokensNegative);
  } else if (stopping.min_new_tokens > most) {
    errors.push_back(LengthError::kMinNewTokensAboveMax);
  }
  return errors;
}

bool HasSelectableToken(const SamplingParams& sampling,
                        const StoppingParams& stopping, int64_t vocab_size,
                        absl::Span<const int32_t> eos_token_ids) {
  absl::flat_hash_set<int32_t> forbidden(sampling.banned_token_ids.begin(),
                                         sampling.banned_token_ids.end());
  if (stopping.min_new_tokens > 0) {
    forbidden.insert(stopping.stop_token_ids.begin(),
                     stopping.stop_token_ids.end());
    if (!stopping.ignore_eos) {
      forbidden.insert(eos_token_ids.begin(), eos_token_ids.end());
    }
  }
  const std::vector<int32_t>& allowed = sampling.allowed_token_ids;
  if (allowed.empty()) {
    return static_cast<int64_t>(forbidden.size()) < vocab_size;
  }
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](int32_t token) { return !forbidden.contains(token); });
}

absl::Status ValidateRequest(const Request& request, const ModelConfig& model,
                             absl::Span<const int32_t> eos_token_ids) {
  if (request.id.empty()) return absl::InvalidArgumentError("id is empty");
  RETURN_IF_ERROR(CheckLengths(request, model));
  RETURN_IF_ERROR(CheckTokenIds("prompt", request.prompt, model.vocab_size));
  RETURN_IF_ERROR(request.sampling.Validate(model.vocab_size));
  RETURN_IF_ERROR(CheckTokenIds(
      "stop_token_ids", request.stopping.stop_token_ids, model.vocab_size));
  if (request.num_answers < 1 || request.num_answers > kMaxAnswers) {
    return absl::InvalidArgumentError(
        absl::StrCat("n (num_answers) is ", request.num_answers,
                     "; it must be in [1, ", kMaxAnswers, "]"));
  }
  return CheckSelectableToken(request, model, eos_token_ids);
}

absl::Status ValidateEngineOptions(const EngineOptions& options,
                                   const ModelConfig& model) {
  RETURN_IF_ERROR(CheckAtLeast("num_blocks", options.num_blocks, 1));
  // Block sizes that the attention kernel supports; the bound also keeps
  // products of untrusted numbers within 64 bits.
  if (options.block_size < 4 || options.block_size > 1024 ||
      (options.block_size & (options.block_size - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("block_size is ", options.block_size,
                     "; it must be a power of two in [4, 1024]"));
  }
  RETURN_IF_ERROR(
      CheckAtLeast("prefill_chunk_tokens", options.prefill_chunk_tokens, 0));
  RETURN_IF_ERROR(
      CheckAtLeast("max_running_sequences", options.max_running_sequences, 1));
  RETURN_IF_ERROR(
      CheckAtLeast("max_waiting_requests", options.max_waiting_requests, 1));
  if (options.max_step_tokens < options.max_running_sequences) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_step_tokens is ", options.max_step_tokens,
        ", below max_running_sequences ", options.max_running_sequences,
        ": a step must have a row for each"));
  }
  if (options.stall_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stall_timeout is ", absl::FormatDuration(options.stall_timeout),
        "; it must be above 0"));
  }
  return CheckTokenIds("eos_token_ids", options.eos_token_ids,
                       model.vocab_size);
}

}  // namespace moe
