#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace moe {

struct EncodeOptions {
  // Adds what the model expects around a prompt (begin-of-text and the like).
  bool add_special_tokens = true;
  // Special tokens written out in the text become their ids. Turn it off for
  // text that must not be able to smuggle them in.
  bool parse_special_tokens = true;
  bool return_offsets = false;
};

// Bytes [begin, end) of the text that was encoded.
struct ByteSpan {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const ByteSpan&) const = default;
};

struct Encoding {
  std::vector<int32_t> ids;
  // One per id where asked for, in order. A token owns exactly its bytes, its
  // leading space included, so spans of plain text tile it; a token inside a
  // character spans a part of that character. Where normalization changed the
  // text, tokens span the whole changed piece. Tokens that stand for no text
  // have an empty span.
  std::vector<ByteSpan> offsets;
};

struct SpecialToken {
  int32_t id = 0;
  std::string content;
};

// Turns text into token ids and back. Immutable, so safe to share by threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // kInvalidArgument if `text` is not UTF-8 (names the byte) or the vocabulary
  // cannot express it; kResourceExhausted if a pattern gives up on it.
  virtual absl::StatusOr<Encoding> Encode(
      absl::string_view text, const EncodeOptions& options) const = 0;

  // The bytes that the token stands for (any bytes: a part of a character,
  // too); empty if `id` is no token.
  virtual absl::string_view TokenBytes(int32_t id) const = 0;

  virtual bool IsToken(int32_t id) const = 0;
  virtual bool IsSpecial(int32_t id) const = 0;

  // One more than the greatest id; ids below may be unused.
  virtual int64_t vocab_size() const = 0;

  // By id.
  virtual absl::Span<const SpecialToken> special_tokens() const = 0;

  // Ids that end a text; may be empty.
  virtual absl::Span<const int32_t> eos_ids() const = 0;

  // The text of `ids`, always valid UTF-8: ill-formed bytes become U+FFFD.
  // kInvalidArgument if an id is no token.
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids,
                                     bool skip_special_tokens) const;
};

}  // namespace moe
