#include "server/text/added_token_matcher.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "server/text/utf8.h"

namespace moe {
namespace {

bool IsWordCharacter(char32_t c) {
  const UChar32 code_point = static_cast<UChar32>(c);
  return u_hasBinaryProperty(code_point, UCHAR_ALPHABETIC) ||
         u_hasBinaryProperty(code_point, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(code_point) &
          (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool IsWhiteSpace(char32_t c) {
  return u_isUWhiteSpace(static_cast<UChar32>(c)) != 0;
}

// The last character of `text`, which must be valid and not empty.
Utf8Unit LastCharacter(absl::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return NextUtf8Unit(text.substr(at));
}

bool TouchesWord(absl::string_view before, absl::string_view after) {
  return (!before.empty() &&
          IsWordCharacter(LastCharacter(before).code_point)) ||
         (!after.empty() && IsWordCharacter(NextUtf8Unit(after).code_point));
}

size_t NumLeadingSpaceBytes(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Unit unit = NextUtf8Unit(text.substr(i));
    if (!IsWhiteSpace(unit.code_point)) break;
    i += unit.num_bytes;
  }
  return i;
}

size_t NumTrailingSpaceBytes(absl::string_view text) {
  const size_t size = text.size();
  while (!text.empty()) {
    const Utf8Unit unit = LastCharacter(text);
    if (!IsWhiteSpace(unit.code_point)) break;
    text.remove_suffix(unit.num_bytes);
  }
  return size - text.size();
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens)
    : tokens_(std::move(tokens)), trie_(1), starts_token_(256) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    starts_token_[static_cast<uint8_t>(tokens_[i].content[0])] = true;
    int32_t node = 0;
    for (const char byte : tokens_[i].content) {
      int32_t child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int32_t>(trie_.size());
        trie_[node].children.emplace_back(byte, child);
        trie_.emplace_back();
      }
      node = child;
    }
    trie_[node].token = static_cast<int32_t>(i);
  }
}

int32_t AddedTokenMatcher::Child(int32_t node, char byte) const {
  for (const auto& [label, child] : trie_[node].children) {
    if (label == byte) return child;
  }
  return -1;
}

const AddedToken* AddedTokenMatcher::Find(absl::string_view text) const {
  const AddedToken* longest = nullptr;
  int32_t node = 0;
  for (const char byte : text) {
    node = Child(node, byte);
    if (node < 0) break;
    if (trie_[node].token >= 0) longest = &tokens_[trie_[node].token];
  }
  return longest;
}

std::vector<TextSegment> AddedTokenMatcher::Split(absl::string_view text,
                                                  bool parse_special) const {
  std::vector<TextSegment> segments;
  const auto add = [&segments](size_t begin, size_t end, int32_t id) {
    if (begin == end) return;
    segments.push_back(
        {static_cast<int64_t>(begin), static_cast<int64_t>(end), id});
  };
  size_t done = 0;  // everything before is in `segments`
  size_t at = 0;
  while (at < text.size()) {
    const AddedToken* token = nullptr;
    if (starts_token_[static_cast<uint8_t>(text[at])]) {
      token = Find(text.substr(at));
    }
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + token->content.size();
    at = end;
    if (token->special && !parse_special) continue;
    if (token->single_word &&
        TouchesWord(text.substr(0, begin), text.substr(end))) {
      continue;
    }
    if (token->lstrip) {
      begin -= NumTrailingSpaceBytes(text.substr(done, begin - done));
    }
    if (token->rstrip) end += NumLeadingSpaceBytes(text.substr(end));
    add(done, begin, -1);
    add(begin, end, token->id);
    // A token of white space must not match bytes that are already taken.
    done = at = end;
  }
  add(done, text.size(), -1);
  return segments;
}

}  // namespace moe
