#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "server/generation/request_converter.h"
#include "server/generation/served_model.h"

namespace moe {

class Tokenizer;

// The most bytes of text that one token can add, and the most that it has; 0
// without tokenizer. Takes time linear in the vocabulary.
int64_t LongestTokenBytes(const Tokenizer* tokenizer);

// Checks that the whole answer of a request fits one message, however it turns
// out: every answer has max_new_tokens tokens, each with `longest_token_bytes`
// of text. kInvalidArgument names the field to change and
// server.max_message_bytes.
absl::Status CheckAnswerSize(const ConvertedRequest& converted,
                             const ServedModel& model,
                             int64_t longest_token_bytes);

}  // namespace moe
