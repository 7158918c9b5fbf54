#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe::client {

// Prints the answers of one request on standard output as they arrive. If there
// are several, the first is printed live and the others after it, each under
// its number. Answers without text are printed as token ids.
class AnswerPrinter {
 public:
  explicit AnswerPrinter(uint32_t num_answers) : num_answers_(num_answers) {}

  void Add(const v1::GenerateChunk& chunk);
  void Add(const v1::GenerateResponse& response);
  // Prints the answers that were kept back and ends the last line.
  void Finish();

 private:
  struct Kept {
    std::string text;
    std::string ids;
    std::string logprobs;
    std::string reason;
  };
  void AddPrompt(const v1::PromptInfo& prompt);
  void AddTokens(const google::protobuf::RepeatedPtrField<v1::Token>& tokens,
                 Kept* answer);
  void Show(absl::string_view text);  // of answer 0

  const uint32_t num_answers_;
  std::map<uint32_t, Kept> answers_;  // by index
  v1::ExpertUsage expert_usage_;
  bool at_line_start_ = true;
};

// Why an answer ended, for people: "length", "stop: \"x\"".
std::string DescribeFinish(const v1::Finish& finish);

// The bytes of a token in quotes, with C escapes; as numbers (\303) if they are
// not whole characters.
std::string QuoteToken(absl::string_view bytes);

// "3 bytes dropped: ...", of a text that was tokenized.
std::string DescribeDropped(uint64_t num_bytes);

}  // namespace moe::client
