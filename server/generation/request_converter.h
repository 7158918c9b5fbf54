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

class StopSignal;
namespace v1 {
class GenerateRequest;
}  // namespace v1

// What a client wants to receive of its request's answers.
struct AnswerOptions {
  int32_t num_answers = 1;
  bool text = false;
  bool tokens = false;  // ids, with logprobs where the engine gives them
  std::vector<std::string> stop;
  std::optional<StopStrings> stop_finder;  // for `stop`; copied per answer
  std::vector<int32_t> stop_token_ids;     // ascending
  bool include_stop = false;
  int64_t min_new_tokens = 0;
  bool echo = false;           // prompt text and tokens
  bool prompt_tokens = false;  // implied by echo
  bool usage_per_chunk = false;
  bool timing = false;
  bool expert_usage = false;
};

struct ConvertedRequest {
  Request request;  // id and deadline unset
  AnswerOptions options;
  int64_t num_dropped_bytes = 0;  // of a text prompt: see Encoding
};

// The longest text prompt, in bytes for each token of the context. Longer text
// cannot fit (tokens have a few bytes, and at most 128 in long runs of one
// character), and tokenizing it first would block one of the front end's few
// threads for seconds.
inline constexpr int64_t kMaxTextBytesPerToken = 256;

// Checks a request, fills in the model's defaults and tokenizes the prompt.
// kInvalidArgument names every bad field (FieldViolations); kFailedPrecondition
// if it needs a tokenizer and the model has none; kCancelled after `stop`
// (null: never). Takes time linear in the prompt. Thread-safe.
absl::StatusOr<ConvertedRequest> ConvertRequest(
    const v1::GenerateRequest& proto, const ServedModel& model,
    StopSignal* stop = nullptr);

}  // namespace moe
