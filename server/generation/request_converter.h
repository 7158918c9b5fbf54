#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/runtime/engine.h"
#include "server/generation/served_model.h"
#include "server/text/stop_strings.h"

namespace moe {

namespace v1 {
class GenerateRequest;
}  // namespace v1

// How the tokens of a request become what the client asked for.
struct AnswerOptions {
  int32_t num_answers = 1;
  bool text = false;
  bool tokens = false;  // ids, with logprobs where the engine gives them
  std::vector<std::string> stop;
  std::optional<StopStrings> stop_finder;  // of `stop`, at its start
  std::vector<int32_t> stop_token_ids;
  bool include_stop = false;
  int64_t min_new_tokens = 0;
  bool echo = false;           // prompt text and tokens
  bool prompt_tokens = false;  // implied by echo
  bool usage_per_chunk = false;
  bool timing = false;
  bool expert_usage = false;
};

struct ConvertedRequest {
  Request request;  // but for id and deadline, which are the call's
  AnswerOptions options;
};

// Text prompts may have this many bytes for each token of the context. More
// can't fit by far (tokens have a few bytes; 128 is what long runs of one
// character make), and to find that out by tokenizing would take seconds of a
// gRPC thread, of which there are few.
inline constexpr int64_t kMaxTextBytesPerToken = 256;

// Checks a request, fills in the model's defaults and tokenizes the prompt.
// kInvalidArgument with a google.rpc.BadRequest that names every bad field;
// kFailedPrecondition if it needs the tokenizer that the model lacks.
// Takes time linear in the prompt. Thread-safe.
absl::StatusOr<ConvertedRequest> ConvertRequest(
    const v1::GenerateRequest& proto, const ServedModel& model);

}  // namespace moe
