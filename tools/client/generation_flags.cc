#include "tools/client/generation_flags.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/types/optional.h"
#include "kernels/core/status_macros.h"
#include "tools/client/flag_values.h"

// Ranges and defaults: proto/moe/v1/generation.proto.
ABSL_FLAG(std::string, request_id, "",
          "Id of the request, for logs and abort.");
ABSL_FLAG(absl::optional<float>, temperature, absl::nullopt,
          "0: always the most likely token.");
ABSL_FLAG(absl::optional<float>, top_p, absl::nullopt,
          "Only the most likely tokens that add up to this probability.");
ABSL_FLAG(absl::optional<uint32_t>, top_k, absl::nullopt,
          "Only this many of the most likely tokens; 0: all.");
ABSL_FLAG(absl::optional<float>, min_p, absl::nullopt,
          "Only tokens at least this probable, relative to the most likely.");
ABSL_FLAG(absl::optional<uint64_t>, seed, absl::nullopt,
          "The same seed gives the same answer.");
ABSL_FLAG(absl::optional<uint32_t>, n, absl::nullopt, "Number of answers.");
ABSL_FLAG(absl::optional<float>, presence_penalty, absl::nullopt,
          "Subtracted once from the logit of each token in the answer.");
ABSL_FLAG(absl::optional<float>, frequency_penalty, absl::nullopt,
          "Subtracted from it once for each time the token occurs.");
ABSL_FLAG(absl::optional<float>, repetition_penalty, absl::nullopt,
          "Divides the logits of tokens in prompt or answer.");
ABSL_FLAG(std::string, logit_bias, "", "Added to logits: 42:-1.5,7:100");
ABSL_FLAG(std::string, allowed_token_ids, "",
          "Choose only these tokens: 1,2,3");
ABSL_FLAG(std::string, banned_token_ids, "",
          "Never choose these tokens: 1,2,3");
ABSL_FLAG(absl::optional<uint32_t>, max_new_tokens, absl::nullopt,
          "Longest answer. Default: the rest of the context.");
ABSL_FLAG(absl::optional<uint32_t>, min_new_tokens, absl::nullopt,
          "Do not stop before this many tokens.");
ABSL_FLAG(
    std::string, stop, "",
    "Text that ends an answer: a string with C escapes (\\n\\n), or several "
    "as a JSON array ([\"a\", \"b\"]).");
ABSL_FLAG(std::string, stop_token_ids, "", "Tokens that end an answer: 1,2,3");
ABSL_FLAG(bool, include_stop, false,
          "Keep the stop string or token in the answer.");
ABSL_FLAG(bool, ignore_eos, false,
          "Do not end at the model's end-of-text tokens.");
ABSL_FLAG(absl::optional<uint32_t>, logprobs, absl::nullopt,
          "Log-probabilities of the answer's tokens and this many others.");
ABSL_FLAG(absl::optional<uint32_t>, prompt_logprobs, absl::nullopt,
          "The same for the prompt's tokens.");
ABSL_FLAG(bool, echo, false, "Return the prompt, too.");
ABSL_FLAG(bool, expert_usage, false,
          "Show which experts the tokens of prompt and answers chose.");
ABSL_FLAG(absl::optional<int32_t>, priority, absl::nullopt,
          "Higher is scheduled first.");
ABSL_FLAG(absl::optional<uint32_t>, truncate_prompt_tokens, absl::nullopt,
          "Keep only this many tokens at the prompt's end.");
ABSL_FLAG(bool, add_special_tokens, true,
          "generate, tokenize: add the tokens that the tokenizer puts around a "
          "text.");
ABSL_FLAG(bool, parse_special_tokens, true,
          "generate, tokenize: special tokens written in the text become those "
          "tokens; --noparse_special_tokens keeps them plain.");

namespace moe::client {

absl::StatusOr<v1::GenerateRequest> RequestFromFlags() {
  v1::GenerateRequest request;
  request.set_request_id(absl::GetFlag(FLAGS_request_id));

  v1::Sampling& sampling = *request.mutable_sampling();
  if (auto v = absl::GetFlag(FLAGS_temperature)) sampling.set_temperature(*v);
  if (auto v = absl::GetFlag(FLAGS_top_p)) sampling.set_top_p(*v);
  if (auto v = absl::GetFlag(FLAGS_top_k)) sampling.set_top_k(*v);
  if (auto v = absl::GetFlag(FLAGS_min_p)) sampling.set_min_p(*v);
  if (auto v = absl::GetFlag(FLAGS_seed)) sampling.set_seed(*v);
  if (auto v = absl::GetFlag(FLAGS_n)) sampling.set_n(*v);

  v1::Penalties& penalties = *request.mutable_penalties();
  if (auto v = absl::GetFlag(FLAGS_presence_penalty)) {
    penalties.set_presence(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_frequency_penalty)) {
    penalties.set_frequency(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_repetition_penalty)) {
    penalties.set_repetition(*v);
  }
  ASSIGN_OR_RETURN(const auto biases,
                   ParseBiases("logit_bias", absl::GetFlag(FLAGS_logit_bias)));
  for (const auto& [id, bias] : biases) {
    (*penalties.mutable_logit_bias())[id] = bias;
  }
  ASSIGN_OR_RETURN(
      const auto allowed,
      ParseIds("allowed_token_ids", absl::GetFlag(FLAGS_allowed_token_ids)));
  penalties.mutable_allowed_token_ids()->Add(allowed.begin(), allowed.end());
  ASSIGN_OR_RETURN(
      const auto banned,
      ParseIds("banned_token_ids", absl::GetFlag(FLAGS_banned_token_ids)));
  penalties.mutable_banned_token_ids()->Add(banned.begin(), banned.end());

  v1::Stopping& stopping = *request.mutable_stopping();
  if (auto v = absl::GetFlag(FLAGS_max_new_tokens)) {
    stopping.set_max_new_tokens(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_min_new_tokens)) {
    stopping.set_min_new_tokens(*v);
  }
  ASSIGN_OR_RETURN(const auto stops,
                   ParseStrings("stop", absl::GetFlag(FLAGS_stop)));
  for (const std::string& stop : stops) stopping.add_stop(stop);
  ASSIGN_OR_RETURN(
      const auto stop_ids,
      ParseIds("stop_token_ids", absl::GetFlag(FLAGS_stop_token_ids)));
  stopping.mutable_stop_token_ids()->Add(stop_ids.begin(), stop_ids.end());
  stopping.set_include_stop(absl::GetFlag(FLAGS_include_stop));
  stopping.set_ignore_eos(absl::GetFlag(FLAGS_ignore_eos));

  v1::Output& output = *request.mutable_output();
  output.set_token_ids(true);  // the statistics count tokens
  output.set_timing(true);
  output.set_echo(absl::GetFlag(FLAGS_echo));
  output.set_expert_usage(absl::GetFlag(FLAGS_expert_usage));
  if (auto v = absl::GetFlag(FLAGS_logprobs)) output.set_logprobs(*v);
  if (auto v = absl::GetFlag(FLAGS_prompt_logprobs)) {
    output.set_prompt_logprobs(*v);
  }
  if (auto v = absl::GetFlag(FLAGS_priority)) request.set_priority(*v);
  if (auto v = absl::GetFlag(FLAGS_truncate_prompt_tokens)) {
    request.set_truncate_prompt_tokens(*v);
  }
  if (!absl::GetFlag(FLAGS_add_special_tokens)) {
    request.set_add_special_tokens(false);
  }
  if (!absl::GetFlag(FLAGS_parse_special_tokens)) {
    request.set_parse_special_tokens(false);
  }
  return request;
}

}  // namespace moe::client
