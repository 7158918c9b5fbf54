#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace moe {

// A token that is found in the text as it stands, before BPE.
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only without adjacent word characters
  bool lstrip = false;       // includes the white space before it
  bool rstrip = false;       // includes the white space after it
  bool normalized = true;    // is searched for in the normalized text
  bool special = false;
};

// A range of a text: an added token, or (id -1) text between them.
struct TextSegment {
  int64_t begin = 0;
  int64_t end = 0;
  int32_t id = -1;
};

// Finds added tokens: the leftmost first, and the longest of those that start
// at the same byte. Immutable and thread-safe.
class AddedTokenMatcher {
 public:
  // No content may be empty.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  // Cuts `text`, valid UTF-8, into segments, in order, none empty. Without
  // `parse_special` special tokens are taken as text.
  std::vector<TextSegment> Split(absl::string_view text,
                                 bool parse_special) const;

 private:
  struct Node {
    std::vector<std::pair<char, int32_t>> children;
    int32_t token = -1;  // index of the token that ends here
  };

  int32_t Child(int32_t node, char byte) const;  // -1: none
  // The longest token at the start of `text`; nullptr: none.
  const AddedToken* Find(absl::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> trie_;
  std::vector<bool> starts_token_;  // [256], by byte
};

}  // namespace moe
