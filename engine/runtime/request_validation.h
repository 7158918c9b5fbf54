#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "engine/runtime/engine.h"
#include "engine/sampling/sampling_params.h"

namespace moe {

// An error in the lengths of a request.
enum class LengthError {
  kPromptEmpty,
  kPromptTooLong,  // no room for an answer
  kMaxNewTokensBelowOne,
  kMaxNewTokensTooLarge,  // prompt and answer exceed the longest sequence
  kMinNewTokensNegative,
  kMinNewTokensAboveMax,
};

// The length errors of a request whose prompt has `prompt_tokens`, in the order
// of the enum. `max_sequence_tokens`: upper bound of prompt and answer together
// (MaxSequenceTokens). After kPromptTooLong it checks nothing else. If
// max_new_tokens is wrong, it compares min_new_tokens with the room after the
// prompt. The caller writes the messages: a server names the fields of its
// protocol.
std::vector<LengthError> FindLengthErrors(int64_t prompt_tokens,
                                          const StoppingParams& stopping,
                                          int64_t max_sequence_tokens);

// True if at least one token can be the first of an answer, for which most
// tokens are masked: one that is allowed, not banned, and, with min_new_tokens,
// does not end the answer. `eos_token_ids` end it like its stop ids unless it
// ignores them. Ids must be below `vocab_size`.
bool HasSelectableToken(const SamplingParams& sampling,
                        const StoppingParams& stopping, int64_t vocab_size,
                        absl::Span<const int32_t> eos_token_ids);

// Checks everything except the fit in the KV cache: kInvalidArgument that names
// the field, its value and its range. `eos_token_ids` end an answer like its
// stop ids.
absl::Status ValidateRequest(const Request& request, const ModelConfig& model,
                             absl::Span<const int32_t> eos_token_ids = {});

// kInvalidArgument that names the option.
absl::Status ValidateEngineOptions(const EngineOptions& options,
                                   const ModelConfig& model);

}  // namespace moe
