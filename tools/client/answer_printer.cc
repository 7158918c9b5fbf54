#include "tools/client/answer_printer.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/client/message_printer.h"
#include "tools/client/rank_tables.h"

namespace moe::client {

std::string DescribeFinish(const v1::Finish& finish) {
  switch (finish.matched_case()) {
    case v1::Finish::kStopTokenId:
      return absl::StrCat("stop token ", finish.stop_token_id());
    case v1::Finish::kEosTokenId:
      return "end of text";
    case v1::Finish::kStopString:
      return absl::StrCat("stop string \"",
                          absl::Utf8SafeCEscape(finish.stop_string()), "\"");
    case v1::Finish::MATCHED_NOT_SET:
      break;
  }
  return finish.reason() == v1::Finish::LENGTH ? "length" : "stop";
}

void AnswerPrinter::AddPrompt(const v1::PromptInfo& prompt) {
  for (const v1::Token& token : prompt.tokens()) {
    if (!token.has_logprob()) continue;
    Print(absl::StrFormat("prompt token %d: logprob %.6f, rank %d\n",
                          token.id(), token.logprob(), token.rank()));
  }
  Show(prompt.text());
}

void AnswerPrinter::AddTokens(
    const google::protobuf::RepeatedPtrField<v1::Token>& tokens, Kept* answer) {
  for (const v1::Token& token : tokens) {
    absl::StrAppend(&answer->ids, answer->ids.empty() ? "" : " ", token.id());
    if (!token.has_logprob()) continue;
    absl::StrAppendFormat(&answer->logprobs,
                          "token %d: logprob %.6f, rank %d\n", token.id(),
                          token.logprob(), token.rank());
    for (const v1::TokenLogprob& other : token.top()) {
      absl::StrAppendFormat(&answer->logprobs, "  %d: %.6f\n", other.token_id(),
                            other.logprob());
    }
  }
}

void AnswerPrinter::Add(const v1::GenerateChunk& chunk) {
  if (chunk.has_prompt()) AddPrompt(chunk.prompt());
  if (chunk.has_expert_usage()) expert_usage_ = chunk.expert_usage();
  if (chunk.text().empty() && chunk.tokens().empty() && !chunk.has_finish()) {
    return;  // the chunk belongs to no answer
  }
  Kept& answer = answers_[chunk.index()];
  AddTokens(chunk.tokens(), &answer);
  answer.text += chunk.text();
  if (chunk.index() == 0) Show(chunk.text());
  if (chunk.has_finish()) answer.reason = DescribeFinish(chunk.finish());
}

void AnswerPrinter::Add(const v1::GenerateResponse& response) {
  AddPrompt(response.prompt());
  expert_usage_ = response.expert_usage();
  for (const v1::Answer& from : response.answers()) {
    Kept& answer = answers_[from.index()];
    AddTokens(from.tokens(), &answer);
    answer.text = from.text();
    answer.reason = DescribeFinish(from.finish());
    if (from.index() == 0) Show(from.text());
  }
}

void AnswerPrinter::Show(absl::string_view text) {
  if (text.empty()) return;
  Print(text);
  at_line_start_ = text.back() == '\n';
}

void AnswerPrinter::Finish() {
  for (const auto& [index, answer] : answers_) {
    if (index > 0) {
      if (!at_line_start_) Show("\n");
      Show(absl::StrCat("[answer ", index + 1, " of ", num_answers_, ", ",
                        answer.reason, "]\n"));
      Show(answer.text);
    }
    if (answer.text.empty()) Show(answer.ids);
    if (!at_line_start_) Show("\n");
    Show(answer.logprobs);
  }
  Show(ExpertUsageTable(expert_usage_));
}

}  // namespace moe::client
