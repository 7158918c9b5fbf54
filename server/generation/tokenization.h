#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/served_model.h"
#include "server/text/tokenizer.h"

namespace moe {

class StopSignal;

// Answers of Tokenize and Detokenize. kFailedPrecondition if `model` has no
// tokenizer. Thread-safe.

// How to encode the text of a request that has the fields add_special_tokens
// and parse_special_tokens, each true by default.
template <typename Request>
EncodeOptions EncodeOptionsOf(const Request& request) {
  EncodeOptions options;
  if (request.has_add_special_tokens()) {
    options.add_special_tokens = request.add_special_tokens();
  }
  if (request.has_parse_special_tokens()) {
    options.parse_special_tokens = request.parse_special_tokens();
  }
  return options;
}

// Takes time linear in the text. kInvalidArgument for text that the tokenizer
// does not take, or that is so long that its answer could exceed
// limits.max_message_bytes; kResourceExhausted if the answer does exceed it;
// kCancelled after `stop` (null: never).
absl::StatusOr<v1::TokenizeResponse> Tokenize(
    const ServedModel& model, const v1::TokenizeRequest& request,
    StopSignal* stop);

// Takes memory linear in limits.max_message_bytes, however long the tokens are.
// kInvalidArgument for an id that is no token, or for tokens whose text cannot
// fit an answer; kResourceExhausted if it does not fit because ill-formed bytes
// have become U+FFFD; kCancelled after `stop` (null: never).
absl::StatusOr<v1::DetokenizeResponse> Detokenize(
    const ServedModel& model, const v1::DetokenizeRequest& request,
    StopSignal* stop);

}  // namespace moe
