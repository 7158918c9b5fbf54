#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "server/text/tokenizer.h"

namespace moe {

// Turns a growing list of ids into text, piece by piece. The joined results of
// Append and Finish equal Tokenizer::Decode of all ids. Each piece is valid
// UTF-8: a character that spans tokens appears when it is complete. Not
// thread-safe. The tokenizer must outlive it.
class IncrementalDetokenizer {
 public:
  IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // The text that `id` completes; often one word, sometimes nothing. An id
  // that is no token (models may pad their vocabulary) adds nothing.
  std::string Append(int32_t id);

  // The rest of the text: U+FFFD if the last character is incomplete, else "".
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_tokens_;
  std::string pending_;  // the start of a character, at most 3 bytes
};

}  // namespace moe
