#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/served_model.h"

namespace moe {

// Answers of Tokenize and Detokenize. kFailedPrecondition if `model` has no
// tokenizer. Thread-safe.

// Takes time linear in the text. kInvalidArgument for text that the tokenizer
// does not take, or that is so long that its answer could exceed
// `max_message_bytes`; kResourceExhausted if the answer does exceed it.
absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const ServedModel& model, const v1::TokenizeRequest& request,
    int64_t max_message_bytes);

// kInvalidArgument for an id that is no token.
absl::StatusOr<v1::DetokenizeResponse> Detokenize(
    const ServedModel& model, const v1::DetokenizeRequest& request);

}  // namespace moe
