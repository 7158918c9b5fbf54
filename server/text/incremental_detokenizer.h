#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "server/text/tokenizer.h"

namespace moe {

// Turns a growing list of ids into text, piece by piece. What Append and Finish
// return, joined, is what Tokenizer::Decode gives for all ids at once; each
// piece is valid UTF-8, so characters that span tokens come when complete.
// Not thread-safe. The tokenizer must outlive it.
class IncrementalDetokenizer {
 public:
  IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

  // The text that `id` completes; often one word, sometimes nothing. An id
  // that is no token (models may pad their vocabulary) adds nothing.
  std::string Append(int32_t id);

  // What is left: U+FFFD if the last character is incomplete, else nothing.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  const bool skip_special_tokens_;
  std::string pending_;  // the start of a character, at most 3 bytes
};

}  // namespace moe
