#include "tools/client/answer_printer.h"

#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/text/utf8.h"
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

namespace {

// `42 " the"`, or the id alone if the server does not say what it stands for.
template <typename Token>
std::string DescribeToken(uint32_t id, const Token& token) {
  if (token.bytes().empty()) return absl::StrCat(id);
  return absl::StrCat(id, " ", QuoteToken(token.bytes()));
}

}  // namespace

std::string QuoteToken(absl::string_view bytes) {
  const bool whole = FindInvalidUtf8(bytes) == absl::string_view::npos;
  return absl::StrCat(
      "\"", whole ? absl::Utf8SafeCEscape(bytes) : absl::CEscape(bytes), "\"");
}

std::string DescribeDropped(uint64_t num_bytes) {
  return absl::StrCat(num_bytes,
                      " bytes dropped: the vocabulary has no token for them");
}

void AnswerPrinter::AddPrompt(const v1::PromptInfo& prompt) {
  for (const v1::Token& token : prompt.tokens()) {
    if (!token.has_logprob()) continue;
    Print(absl::StrFormat("prompt token %s: logprob %.6f, rank %d\n",
                          DescribeToken(token.id(), token), token.logprob(),
                          token.rank()));
  }
  if (prompt.dropped_bytes() > 0) {
    std::fprintf(stderr, "%s\n",
                 DescribeDropped(prompt.dropped_bytes()).c_str());
  }
  Show(prompt.text());
}

void AnswerPrinter::AddTokens(
    const google::protobuf::RepeatedPtrField<v1::Token>& tokens, Kept* answer) {
  for (const v1::Token& token : tokens) {
    absl::StrAppend(&answer->ids, answer->ids.empty() ? "" : " ", token.id());
    if (!token.has_logprob()) continue;
    absl::StrAppendFormat(
        &answer->logprobs, "token %s: logprob %.6f, rank %d\n",
        DescribeToken(token.id(), token), token.logprob(), token.rank());
    for (const v1::TokenLogprob& other : token.top()) {
      absl::StrAppendFormat(&answer->logprobs, "  %s: %.6f\n",
                            DescribeToken(other.token_id(), other),
                            other.logprob());
    }
  }
}

void AnswerPrinter::Add(const v1::GenerateChunk& chunk) {
  if (chunk.has_prompt()) AddPrompt(chunk.prompt());
  expert_usage_.MergeFrom(chunk.expert_usage());  // it may come in parts
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
