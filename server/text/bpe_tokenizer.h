#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/text/added_token_matcher.h"
#include "server/text/bpe_model.h"
#include "server/text/normalizer.h"
#include "server/text/pretokenizer.h"
#include "server/text/tokenizer.h"

namespace moe {

struct BpeTokenizerSpec {
  BpeModelSpec model;
  std::vector<AddedToken> added_tokens;
  NormalizationForm normalization = NormalizationForm::kNone;
  PretokenizerSpec pretokenizer;
  // Added around a text by add_special_tokens.
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
  std::vector<int32_t> eos_ids;
};

// Byte-level BPE: added tokens, normalization, words, merges; the same ids as
// Hugging Face's tokenizers library for the same file.
class BpeTokenizer final : public Tokenizer {
 public:
  // kInvalidArgument, naming the entry, for ids without a token, an id of two
  // tokens, or merges outside the vocabulary.
  static absl::StatusOr<std::unique_ptr<BpeTokenizer>> Create(
      BpeTokenizerSpec spec);

  absl::StatusOr<Encoding> Encode(absl::string_view text,
                                  const EncodeOptions& options) const override;
  absl::string_view TokenBytes(int32_t id) const override;
  bool IsToken(int32_t id) const override;
  bool IsSpecial(int32_t id) const override;
  int64_t vocab_size() const override {
    return static_cast<int64_t>(tokens_.size());
  }
  absl::Span<const SpecialToken> special_tokens() const override {
    return special_tokens_;
  }
  absl::Span<const int32_t> eos_ids() const override { return eos_ids_; }

 private:
  struct Token {
    std::string bytes;
    bool exists = false;
    bool special = false;
  };

  BpeTokenizer(BpeModel model, Pretokenizer pretokenizer)
      : model_(std::move(model)), pretokenizer_(std::move(pretokenizer)) {}
  absl::Status AddTokens(const BpeTokenizerSpec& spec);
  // Encodes bytes [begin, end) of `text`, which contain no added token. Offsets
  // are relative to `text`.
  absl::Status EncodeWords(absl::string_view text, int64_t begin, int64_t end,
                           StopSignal* stop, std::vector<int32_t>* ids,
                           std::vector<ByteSpan>* offsets,
                           int64_t* num_dropped_bytes) const;

  BpeModel model_;
  Pretokenizer pretokenizer_;
  NormalizationForm normalization_ = NormalizationForm::kNone;
  std::optional<AddedTokenMatcher> raw_matcher_;         // before and
  std::optional<AddedTokenMatcher> normalized_matcher_;  // after normalization
  std::vector<Token> tokens_;                            // by id
  std::vector<SpecialToken> special_tokens_;
  std::vector<int32_t> prefix_ids_;
  std::vector<int32_t> suffix_ids_;
  std::vector<int32_t> eos_ids_;
};

}  // namespace moe
