#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace moe {

class StopSignal;

struct EncodeOptions {
  // Adds what the model expects around a prompt (begin-of-text and the like).
  bool add_special_tokens = true;
  // Special tokens that are written in the text become their ids. Turn it off
  // for text that must not be able to contain special tokens.
  bool parse_special_tokens = true;
  bool return_offsets = false;
  // Ends a long Encode early, which then returns kCancelled. Null: never.
  StopSignal* stop = nullptr;
};

// Bytes [begin, end) of the text that was encoded.
struct ByteSpan {
  int64_t begin = 0;
  int64_t end = 0;
  bool operator==(const ByteSpan&) const = default;
};

struct Encoding {
  std::vector<int32_t> ids;
  // One per id if requested, in order. A token spans exactly its bytes,
  // including its leading space, so the spans of plain text cover it without
  // gaps; a token inside a character spans a part of that character. If
  // normalization changed a piece of the text, its tokens span the whole piece.
  // Tokens without text have an empty span.
  std::vector<ByteSpan> offsets;
  // Bytes of the (normalized) text for which the vocabulary has no token; no id
  // stands for them. The span of a token of the same word includes them.
  int64_t num_dropped_bytes = 0;
};

struct SpecialToken {
  int32_t id = 0;
  std::string content;
};

// Turns text into token ids and back. Immutable and thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // kInvalidArgument if `text` is not UTF-8 (names the byte) or longer than
  // half a gigabyte; kResourceExhausted if a pattern exceeds its step limit;
  // kCancelled after options.stop.
  virtual absl::StatusOr<Encoding> Encode(
      absl::string_view text, const EncodeOptions& options) const = 0;

  // The bytes of the token, which may be a part of a character; empty if `id`
  // is no token.
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
