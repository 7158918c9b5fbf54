#include "server/generation/answer_size.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/generation/request_errors.h"
#include "server/text/tokenizer.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

// Tags, lengths and fields that every answer has, and every response.
constexpr int64_t kFinishBytes = 64;
constexpr int64_t kResponseBytes = 512;
// Tag and length of a message in a list, and tag and value of a float.
constexpr int64_t kEntryBytes = 4;
constexpr int64_t kFloatBytes = 5;
// A count of tokens in ExpertUsage.
constexpr int64_t kCountBytes = 10;

// Bytes of a field with a number up to `value`.
int64_t FieldBytes(int64_t value) {
  int64_t num_bytes = 2;  // the tag and the last seven bits
  while (value >>= 7) ++num_bytes;
  return num_bytes;
}

// Joined bytes have at most as many replacements as the tokens by themselves.
int64_t TextBytes(absl::string_view token) {
  return static_cast<int64_t>(ReplaceInvalidUtf8(token).size());
}

// Bytes of a v1::Token with `num_logprobs` others; < 0: the id only.
int64_t TokenProtoBytes(int64_t vocab_size, int64_t num_logprobs,
                        int64_t longest_token_bytes) {
  const int64_t id = FieldBytes(vocab_size);
  if (num_logprobs < 0) return kEntryBytes + id;
  const int64_t logprob = id + kFloatBytes + FieldBytes(vocab_size)  // rank
                          + kEntryBytes + longest_token_bytes;
  return kEntryBytes + logprob + num_logprobs * (kEntryBytes + logprob);
}

int64_t PromptBytes(const ConvertedRequest& converted, const ServedModel& model,
                    int64_t longest_token_bytes) {
  const Request& request = converted.request;
  const int64_t num_tokens = request.prompt.size();
  int64_t num_bytes = 0;
  if (converted.options.prompt_tokens) {
    num_bytes +=
        num_tokens * TokenProtoBytes(model.info.model.vocab_size,
                                     request.sampling.num_prompt_logprobs,
                                     longest_token_bytes);
  }
  if (converted.options.echo && model.tokenizer != nullptr) {
    for (const int32_t id : request.prompt) {
      num_bytes += TextBytes(model.tokenizer->TokenBytes(id));
    }
  }
  return num_bytes;
}

int64_t ExpertUsageBytes(const ServedModel& model) {
  int64_t num_bytes = 0;
  for (int64_t i = 0; i < model.info.model.num_layers(); ++i) {
    const int64_t num_experts = model.info.model.num_experts(i);
    if (num_experts > 0) num_bytes += 32 + num_experts * kCountBytes;
  }
  return num_bytes;
}

// Bytes of one answer beside its tokens and text.
int64_t FinishBytes(const AnswerOptions& options) {
  size_t longest_stop = 0;
  for (const std::string& stop : options.stop) {
    longest_stop = std::max(longest_stop, stop.size());
  }
  return kFinishBytes + static_cast<int64_t>(longest_stop);
}

absl::Status TooLong(absl::string_view field, int64_t num_bytes,
                     int64_t max_bytes, absl::string_view advice) {
  return FieldViolation(
      field, absl::StrCat("can make the answer ", num_bytes,
                          " bytes long; one message has at most ", max_bytes,
                          " (server.max_message_bytes): ", advice,
                          " or use GenerateStream"));
}

}  // namespace

int64_t LongestTokenBytes(const Tokenizer* tokenizer) {
  int64_t longest = 0;
  if (tokenizer == nullptr) return longest;
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) {
    longest = std::max(longest, TextBytes(tokenizer->TokenBytes(id)));
  }
  return longest;
}

absl::Status CheckAnswerSize(const ConvertedRequest& converted,
                             const ServedModel& model,
                             int64_t longest_token_bytes) {
  const AnswerOptions& options = converted.options;
  const Request& request = converted.request;
  const int64_t max_bytes = model.limits.max_message_bytes;

  int64_t fixed =
      kResponseBytes + PromptBytes(converted, model, longest_token_bytes);
  if (fixed > max_bytes) {
    const bool has_logprobs = request.sampling.num_prompt_logprobs >= 0;
    return TooLong(has_logprobs ? "output.prompt_logprobs" : "output.echo",
                   fixed, max_bytes,
                   absl::StrCat("with a prompt of ", request.prompt.size(),
                                " tokens, ask for less"));
  }
  if (options.expert_usage) fixed += ExpertUsageBytes(model);
  fixed += options.num_answers * FinishBytes(options);
  if (fixed > max_bytes) {
    return TooLong(options.expert_usage ? "output.expert_usage" : "sampling.n",
                   fixed, max_bytes, "ask for less");
  }

  int64_t per_token = options.text ? longest_token_bytes : 0;
  if (options.tokens) {
    per_token +=
        TokenProtoBytes(model.info.model.vocab_size,
                        request.sampling.num_logprobs, longest_token_bytes);
  }
  const int64_t per_step = per_token * options.num_answers;
  const int64_t num_bytes = fixed + per_step * request.stopping.max_new_tokens;
  if (num_bytes <= max_bytes) return absl::OkStatus();
  return TooLong(
      "stopping.max_new_tokens", num_bytes, max_bytes,
      absl::StrCat("with n ", options.num_answers, " and logprobs ",
                   std::max(request.sampling.num_logprobs, 0),
                   " set it to at most ", (max_bytes - fixed) / per_step));
}

}  // namespace moe
