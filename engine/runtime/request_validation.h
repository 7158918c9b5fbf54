#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "engine/runtime/engine.h"
#include "engine/sampling/sampling_params.h"

namespace moe {

// What is wrong with the lengths of a request.
enum class LengthError {
  kPromptEmpty,
  kPromptTooLong,  // it leaves no room for an answer
  kMaxNewTokensBelowOne,
  kMaxNewTokensTooLarge,  // prompt and answer exceed the longest sequence
  kMinNewTokensNegative,
  kMinNewTokensAboveMax,
};

// The errors of a request whose prompt has `prompt_tokens`, in the order of the
// enum; empty if there are none. `max_sequence_tokens`: prompt and answer
// together, at most (MaxSequenceTokens). After kPromptTooLong nothing else is
// checked. Where max_new_tokens is wrong, min_new_tokens is compared with the
// room that the prompt leaves. The caller words the errors: the engine for its
// clients, a server by the fields of its protocol.
std::vector<LengthError> FindLengthErrors(int64_t prompt_tokens,
                                          const StoppingParams& stopping,
                                          int64_t max_sequence_tokens);

// Whether the first token of an answer, for which most tokens are forbidden,
// can be any token at all: one that is allowed, not banned, and, before
// min_new_tokens, does not end the answer. `eos_token_ids` end it like its stop
// ids unless it ignores them. Ids must be below `vocab_size`.
bool HasSelectableToken(const SamplingParams& sampling,
                        const StoppingParams& stopping, int64_t vocab_size,
                        absl::Span<const int32_t> eos_token_ids);

// Checks what can be checked without the KV cache: kInvalidArgument naming the
// field, its value and its range. `eos_token_ids` end an answer like its stop
// ids.
absl::Status ValidateRequest(const Request& request, const ModelConfig& model,
                             absl::Span<const int32_t> eos_token_ids = {});

// kInvalidArgument naming the option.
absl::Status ValidateEngineOptions(const EngineOptions& options,
                                   const ModelConfig& model);

}  // namespace moe
